//! P51: no local port is free for another connection to the same destination.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::{
    errno::Errno,
    event::Call,
    finding::{Fact, Severity},
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "port_exhausted",
    severity: Severity::Critical,
    triggers: &[Trigger::On(Moment::Called)],
    supersedes: &[],
    settings: &[],
    errnos: &["EADDRNOTAVAIL"],
    needs: &["call"],
    text: Text {
        en: Words {
            title: "no local port left for this destination",
            seen: "\
connect() fails at once with EADDRNOTAVAIL: the kernel went through all ports that it may choose from \
(net.ipv4.ip_local_port_range, or the socket's own IP_LOCAL_PORT_RANGE) and found each of them in use for this \
destination's address and port. No SYN was sent. Connections to other destinations still work.",
            means: "\
Connections that are open count, and those in TIME_WAIT, which last a minute at the end that closed first. Many short \
connections to one service use the ports up, about 28,000 by default: some 470 new ones a second are enough. A proxy or \
a NAT in front of one backend meets this first. The same shortage at bind() with port 0 is called EADDRINUSE.",
            advice: "\
Keep connections open and use them again. Widen net.ipv4.ip_local_port_range, let net.ipv4.tcp_tw_reuse be 1, spread \
over several destination addresses or source addresses (with IP_BIND_ADDRESS_NO_PORT).",
            confirm: "ss -tan '( dport = :PORT )'; sysctl net.ipv4.ip_local_port_range",
        },
        zh: Words {
            title: "到该目的地已没有可用的本地端口",
            seen: "\
connect() 立即以 EADDRNOTAVAIL 失败:内核查遍了可选的端口(net.ipv4.ip_local_port_range,或套接字自己的 IP_LOCAL_PORT_RANGE),对这个目的地址和端口来说每一个都在使用。没有发出 SYN。到其他目的地的连接仍然可用。",
            means: "\
打开的连接算在内,处于 TIME_WAIT 的也算,后者在先关闭的一端保留一分钟。到同一服务的大量短连接会用尽端口,默认约 28,000 个:每秒约 470 个新连接就够了。位于单个后端之前的代理或 NAT 最先遇到。bind() 端口 0 时同样的短缺叫 EADDRINUSE。",
            advice: "保持连接并重复使用。加宽 net.ipv4.ip_local_port_range,把 net.ipv4.tcp_tw_reuse 设为 1,分散到多个目的地址或源地址(配合 IP_BIND_ADDRESS_NO_PORT)。",
            confirm: "ss -tan '( dport = :PORT )'; sysctl net.ipv4.ip_local_port_range",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the kernel takes the attempt back, and connect() says so",
            trace: "
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                4ms    c SYN_SENT>CLOSE owned
                4.01ms c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &[
                "port_exhausted critical EADDRNOTAVAIL local=curl[42] fd=5 peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "a storm is one record a window",
            trace: "
                a = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                b = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms    a CLOSE>SYN_SENT owned
                1ms    a SYN_SENT>CLOSE owned
                1.01ms a fails EADDRNOTAVAIL call=connect fd=5
                2ms    b CLOSE>SYN_SENT owned
                3ms    b SYN_SENT>CLOSE owned
                3.01ms b fails EADDRNOTAVAIL call=connect fd=6
                4ms    c CLOSE>SYN_SENT owned
                5ms    c SYN_SENT>CLOSE owned
                5.01ms c fails EADDRNOTAVAIL call=connect fd=7
            ",
            expect: &["port_exhausted critical fd=5 count=1", "port_exhausted critical fd=7 count=2"],
        },
        Scenario {
            name: "a socket that was refused before tries again",
            trace: "
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c reset-received
                1ms      c SYN_SENT>CLOSE err=ECONNREFUSED
                1.01ms   c fails ECONNREFUSED call=connect fd=5
                500ms    c CLOSE>SYN_SENT owned
                501ms    c SYN_SENT>CLOSE owned
                501.01ms c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &[
                "connection_refused warning ECONNREFUSED",
                "port_exhausted critical EADDRNOTAVAIL local=curl[42]",
            ],
        },
        Scenario {
            name: "no attempt was begun: this host has no address to send from",
            trace: "
                c = [fd00::1]:0 > [2001:db8::1]:8080 out curl[42]
                0ms  c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "a port was bound, and that very connection exists already",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c SYN_SENT>CLOSE owned
                0.11ms c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "the program gave its attempt up: another pattern",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                2000ms c SYN_SENT>CLOSE owned dead shutdown=3 retransmits=1 unacked=1
            ",
            expect: &["connect_abandoned warning"],
        },
        Scenario {
            name: "another error of the same call",
            trace: "
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c SYN_SENT>CLOSE owned
                0.11ms c fails ENOMEM call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "the attempt that was taken back is long over",
            trace: "
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>CLOSE owned
                5000ms c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:0 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                3ms    lost 7
                4ms    c SYN_SENT>CLOSE owned
                4.01ms c fails EADDRNOTAVAIL call=connect fd=5
            ",
            expect: &["port_exhausted critical EADDRNOTAVAIL local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Called, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let told = end
        .called
        .as_deref()
        .is_some_and(|(called, _)| called.call == Call::Connect && called.errno == Errno::EADDRNOTAVAIL);
    if !told || !end.attempt_taken_back(at) {
        return Verdict::No;
    }
    let (tuple, process) = (end.tuple(), who(owner(view), "A process"));
    let destination = tuple.remote_address();
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::EADDRNOTAVAIL),
        facts: vec![("destination", Fact::Text(destination.to_string()))],
        ..Found::of(
            &PATTERN,
            0.97,
            format!(
                "{process} could not connect to {destination}: every local port it may use is taken for that \
                 destination (network namespace {}). No SYN was sent.",
                tuple.netns,
            ),
        )
    }))
}
