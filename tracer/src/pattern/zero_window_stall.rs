//! P39: the peer closed its window and was then not heard of again.

use super::{
    Found, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{bytes, comm, owner, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "zero_window_stall",
    severity: Severity::Warning,
    triggers: &[Trigger::Failed],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    needs: &[],
    text: Text {
        en: Words {
            title: "peer does not read, connection given up",
            seen: "\
The peer had closed its receive window: its program does not read. The kernel probed the window until it gave up, \
because the probes were not answered any more, or because TCP_USER_TIMEOUT passed. The next call fails with \
ETIMEDOUT.",
            means: "\
As long as the peer's kernel answers the probes a connection with a closed window lives for ever. Here the whole \
host vanished during the stall, or the program's own limit was shorter than the stall. The sender is not at fault.",
            advice: "Find out why the program at the other end did not read; then whether its host was reachable.",
            confirm: "ss -tnoim dst ADDRESS",
        },
        zh: Words {
            title: "对方不读数据,连接被放弃",
            seen: "\
对方关闭了接收窗口:它的程序不读数据。内核探测窗口直到放弃,因为探测不再得到应答,或因为 TCP_USER_TIMEOUT 已到。下一次调用返回 ETIMEDOUT。",
            means: "\
只要对方内核应答探测,窗口关闭的连接可以永远存活。这里是停滞期间整个主机消失,或程序自己的上限短于停滞时间。过错不在发送方。",
            advice: "查清对方程序为什么不读,再查它的主机当时是否可达。",
            confirm: "ss -tnoim dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the peer stalls, then vanishes",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT probes=3 unsent=169416 window=0 silent=2500
            ",
            expect: &["zero_window_stall warning ETIMEDOUT local=curl[42] peer=none reason=none also= count=1 signal=none complete"],
        },
        Scenario {
            name: "the window was open: keepalive or retransmission, not this",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT probes=3 window=65535 keepalive
            ",
            expect: &["keepalive_timeout warning local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                2995ms lost 1
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT probes=1 unsent=9 window=0 user_timeout=1000
            ",
            expect: &["zero_window_stall warning local=curl[42] also= count=1 signal=none missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Some((Timeout::ZeroWindow, errno)), Some(end)) = (timeout::of(view), view.end) else { return Verdict::No };
    let (at, owner) = (&end.snapshot, owner(view));
    let (why, confidence) = match at.socket.user_timeout {
        0 => (format!("{} probes of the window were not answered", at.socket.probes), 0.9),
        limit => (format!("TCP_USER_TIMEOUT of {limit} ms passed"), 0.95),
    };
    let mut facts = vec![
        ("unsent_bytes", Fact::Count(at.unsent().into())),
        ("probes", Fact::Count(at.socket.probes.into())),
    ];
    facts.extend(at.silence(view.host.hz).map(|silence| ("silent_ns", Fact::Count(nanoseconds(silence)))));
    if at.socket.user_timeout != 0 {
        facts.push(("user_timeout_ms", Fact::Count(at.socket.user_timeout.into())));
    }
    Verdict::Found(Box::new(Found {
        severity: PATTERN.severity,
        confidence,
        errno: Some(errno),
        message: format!(
            "{} had stopped reading (its window is closed), and {why}. {} of {} are lost, and its next call fails \
             with {errno}.{}",
            end.tuple().remote_address(),
            bytes(at.undelivered()),
            who(owner, &comm(owner, "the process")),
            timeout::icmp_before(errno),
        ),
        advice: PATTERN.text.en.advice.to_owned(),
        facts,
        count: 1,
        also: vec![],
    }))
}
