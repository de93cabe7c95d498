//! P30: nothing answered the SYN.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{advise, owner, peer_owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "connect_timeout",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT"],
    needs: &[],
    text: Text {
        en: Words {
            title: "connect timed out",
            seen: "\
The kernel sent the SYN again and again, and nothing came back: no SYN-ACK, no RST, no ICMP error. connect() fails \
with ETIMEDOUT, by default after about 127 s (Linux 6.4 and before) or 134 s (since 6.5).",
            means: "\
The host is down, a firewall drops the SYN or its answer, or the server's accept queue is full: Linux then drops \
SYNs silently. The same errno is given by four other timers on established connections; this is the one of connect().",
            advice: "\
See whether anything else reaches that host. On the server look for a full accept queue (ListenOverflows) and \
firewall drops. Give connect() a deadline of your own, shorter than two minutes.",
            confirm: "nstat -az TcpExtTCPTimeouts TcpExtListenOverflows; ip route get ADDRESS",
        },
        zh: Words {
            title: "连接超时",
            seen: "\
内核反复发送 SYN,没有任何应答:没有 SYN-ACK、没有 RST、没有 ICMP 错误。connect() 返回 ETIMEDOUT,默认约 127 秒(Linux 6.4 及以前)或 134 秒(6.5 起)。",
            means: "\
主机宕机、防火墙丢弃了 SYN 或其应答,或者服务器的 accept 队列已满(Linux 会悄悄丢弃 SYN)。已建立的连接上另有四种定时器给出同一个 errno;这里是 connect() 的那一种。",
            advice: "看看其他流量能否到达该主机。在服务器上检查 accept 队列是否已满(ListenOverflows)以及防火墙丢包。为 connect() 设置自己的、短于两分钟的期限。",
            confirm: "nstat -az TcpExtTCPTimeouts TcpExtListenOverflows; ip route get ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the same socket had been refused before: that RST is another attempt's",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-received
                1ms     c SYN_SENT>CLOSE err=ECONNREFUSED
                2ms     c fails ECONNREFUSED call=connect fd=5
                500ms   c CLOSE>SYN_SENT owned
                3500ms  c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1
            ",
            expect: &[
                "connection_refused warning ECONNREFUSED",
                "connect_timeout warning ETIMEDOUT local=curl[42]",
            ],
        },
        Scenario {
            name: "the SYNs are dropped",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                3000ms c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1 unacked=1
            ",
            expect: &[
                "connect_timeout warning ETIMEDOUT local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "an ICMP error answered: another pattern",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1000ms c SYN_SENT>CLOSE err=EHOSTUNREACH retransmits=1 unacked=1
            ",
            expect: &["icmp_unreachable warning EHOSTUNREACH local=curl[42]"],
        },
        Scenario {
            name: "the process gave up first",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                2000ms c SYN_SENT>CLOSE owned dead shutdown=3 retransmits=1 unacked=1
            ",
            expect: &["connect_abandoned warning errno=none local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                2995ms lost 1
                3000ms c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1 unacked=1
            ",
            expect: &["connect_timeout warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Some((Timeout::Connect, errno)), Some(end)) = (timeout::of(view), view.end) else {
        return Verdict::No;
    };
    let Occasion::Failed { at, .. } = *view.occasion else { return Verdict::No };
    let own = &end.snapshot.socket;
    let took = end.snapshot.age(at);
    let after = took.map_or(String::new(), |took| format!(" in {}", spoken(took)));
    let limit = if own.user_timeout == 0 {
        String::new()
    } else {
        format!(" TCP_USER_TIMEOUT of {} ms shortened that.", own.user_timeout)
    };
    let here = took.map_or(String::new(), |took| format!("connect() took {} here.", spoken(took)));
    // What came of them is seen where the server is on this host too.
    let fate = match view.peer.filter(|peer| peer.stands_in()) {
        Some(_) => format!("were answered by {}, and no answer came back", who(peer_owner(view), "its host")),
        None => "were not answered".to_owned(),
    };
    let mut facts = vec![("retransmits", Fact::Count(own.retransmits.into()))];
    facts.extend(took.map(|took| ("after_ns", Fact::Count(nanoseconds(took)))));
    if own.user_timeout != 0 {
        facts.push(("user_timeout_ms", Fact::Count(own.user_timeout.into())));
    }
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        advice: advise(&PATTERN, &here),
        ..Found::of(
            &PATTERN,
            0.98,
            format!(
                "{} could not connect to {}: {} SYNs {fate}{after}.{limit}",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
                u32::from(own.retransmits) + 1,
            ),
        )
    }))
}
