//! P31: the program gave up before the kernel did.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};
use tracer_common::record::socket;

pub(super) static PATTERN: Pattern = Pattern {
    id: "connect_abandoned",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Abandoned)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &[],
    text: Text {
        en: Words {
            title: "connect given up by the program",
            seen: "\
A process closed a socket while the kernel still waited for the answer to its SYN: its own time limit passed, it \
was cancelled, or it died. No RST is sent and no errno is given by the kernel; what the program reports is its own.",
            means: "\
With at least one retransmission the other end did not answer for a second or more: the same suspects as for a \
connect that times out. Without one nothing is wrong: an attempt that lost against another address, or a cancelled \
request (info).",
            advice: "\
See whether anything else reaches that host, and whether the server's accept queue is full; then whether the \
program's time limit is longer than the way.",
            confirm: "ss -tn state syn-sent; nstat -az TcpExtListenOverflows",
        },
        zh: Words {
            title: "程序放弃了连接",
            seen: "\
进程在内核还在等待 SYN 应答时关闭了套接字:它自己的时限已到、被取消,或者进程死亡。不会发送 RST,内核也不给出 errno;程序报告的是它自己的错误。",
            means: "\
如果至少重传过一次,说明对方一秒以上没有应答:原因与 connect 超时相同。没有重传则没有问题:输给了另一个地址的尝试,或被取消的请求(info)。",
            advice: "看看其他流量能否到达该主机,服务器的 accept 队列是否已满;再看程序的时限是否长于路径时延。",
            confirm: "ss -tn state syn-sent; nstat -az TcpExtListenOverflows",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the program's limit is shorter than the kernel's",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                2000ms c SYN_SENT>CLOSE owned dead shutdown=3 retransmits=1 unacked=1
            ",
            expect: &[
                "connect_abandoned warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "cancelled at once",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                20ms   c SYN_SENT>CLOSE owned dead shutdown=3 unacked=1
            ",
            expect: &["connect_abandoned info errno=none local=curl[42]"],
        },
        Scenario {
            name: "no port was free: the kernel took the attempt back",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.01ms c SYN_SENT>CLOSE owned
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1995ms lost 1
                2000ms c SYN_SENT>CLOSE owned dead shutdown=3 retransmits=1 unacked=1
            ",
            expect: &["connect_abandoned warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Abandoned, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let own = &end.snapshot.socket;
    if own.shutdown != socket::SHUTDOWN_MASK {
        return Verdict::No;
    }
    let silent = own.retransmits > 0;
    let after = end.snapshot.age(at);
    let spent = after.map_or(String::new(), |after| format!(" after {}", spoken(after)));
    let why = match (end.death(), silent) {
        (Some(death), _) => format!(": it died ({})", death.name()),
        (None, true) => format!(": {} SYNs had not been answered", u32::from(own.retransmits) + 1),
        (None, false) => String::new(),
    };
    let mut facts = vec![("retransmits", Fact::Count(own.retransmits.into()))];
    facts.extend(after.map(|after| ("after_ns", Fact::Count(nanoseconds(after)))));
    Verdict::Found(Box::new(Found {
        severity: if silent { PATTERN.severity } else { Severity::Info },
        facts,
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{} gave up connecting to {}{spent}{why}.",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
            ),
        )
    }))
}
