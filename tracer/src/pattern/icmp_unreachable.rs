//! P34: an ICMP error answered the SYN.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::nanoseconds,
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "icmp_unreachable",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["EHOSTUNREACH", "ENETUNREACH", "ECONNREFUSED", "ENOPROTOOPT", "EACCES"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "connect answered by an ICMP error",
            seen: "\
No SYN-ACK and no RST came for the SYN, but an ICMP error, and connect() fails with the errno that belongs to it: \
EHOSTUNREACH (host unreachable, administratively prohibited, hop limit), ENETUNREACH (network unreachable), \
ECONNREFUSED (port unreachable), ENOPROTOOPT (protocol unreachable), EACCES (IPv6, prohibited).",
            means: "\
A router has no way there, or a firewall rejects: iptables' REJECT answers with port unreachable by default, so \
ECONNREFUSED may come from a host on which something listens. With the socket locked the first error is only \
remembered and the second one counts, a second later. EHOSTUNREACH after about three seconds is this host's own \
doing: the next hop did not answer ARP or neighbour discovery.",
            advice: "\
See which hop answers, and look for a REJECT rule on the way. For EHOSTUNREACH on the own network look at the \
neighbour table.",
            confirm: "ip route get ADDRESS; ip neigh show; nstat -az IcmpInDestUnreachs",
        },
        zh: Words {
            title: "连接得到 ICMP 错误应答",
            seen: "\
SYN 没有得到 SYN-ACK 或 RST,而是 ICMP 错误,connect() 返回对应的 errno:EHOSTUNREACH(主机不可达、管理禁止、跳数耗尽)、ENETUNREACH(网络不可达)、ECONNREFUSED(端口不可达)、ENOPROTOOPT(协议不可达)、EACCES(IPv6,禁止)。",
            means: "\
路由器没有路径,或防火墙拒绝:iptables 的 REJECT 默认回答端口不可达,所以 ECONNREFUSED 可能来自有服务在监听的主机。套接字被锁住时,第一个错误只被记下,一秒后的第二个才生效。约三秒后的 EHOSTUNREACH 是本机自己给出的:下一跳没有应答 ARP 或邻居发现。",
            advice: "查清是哪一跳应答,并查找路径上的 REJECT 规则。本网段内的 EHOSTUNREACH 要看邻居表。",
            confirm: "ip route get ADDRESS; ip neigh show; nstat -az IcmpInDestUnreachs",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a router knows no way to the host",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1000ms c SYN_SENT>CLOSE err=EHOSTUNREACH retransmits=1
            ",
            expect: &[
                "icmp_unreachable warning EHOSTUNREACH local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "a firewall says port unreachable: no RST, so no closed port",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                5ms    c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["icmp_unreachable warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "protocol unreachable: ENOPROTOOPT from connect()",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                5ms    c SYN_SENT>CLOSE err=ENOPROTOOPT
            ",
            expect: &["icmp_unreachable warning ENOPROTOOPT local=curl[42]"],
        },
        Scenario {
            name: "a RST refused it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                5ms    c reset-received
                5ms    c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it: the RST may be among them",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                5ms    lost 1
                5ms    c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["icmp_unreachable warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { at, old: State::SynSent, errno }, Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let elsewhere = matches!(errno, Errno::ETIMEDOUT | Errno::ECONNABORTED | Errno::ECONNRESET);
    // What never left this host was answered by nobody.
    let own = end.snapshot.send_errno().is_some();
    if end.reset_received.is_some() || elsewhere || own || end.snapshot.dead() {
        return Verdict::No;
    }
    let took = end.snapshot.age(at);
    let after = took.map_or(String::new(), |took| format!(" after {}", spoken(took)));
    let refused = errno == Errno::ECONNREFUSED;
    let hint = if refused { " (port unreachable, which firewalls send; no RST came)" } else { "" };
    let mut facts = vec![("retransmits", Fact::Count(end.snapshot.socket.retransmits.into()))];
    facts.extend(took.map(|took| ("after_ns", Fact::Count(nanoseconds(took)))));
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        ..Found::of(
            &PATTERN,
            // The host itself answers so when the next hop is silent.
            if errno == Errno::EHOSTUNREACH { 0.8 } else { 0.9 },
            format!(
                "{} could not connect to {}: an ICMP error came{after}{hint}, and connect() fails with {errno}.",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
            ),
        )
    }))
}
