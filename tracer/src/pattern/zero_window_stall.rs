//! P39: the peer closed its window: it does not read, and perhaps was then not heard of again.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{bytes, comm, owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;

/// How long a closed window is nothing special.
pub(super) static AFTER: Setting = Setting {
    key: "zero_window_stall.after",
    default: Value::Time(Duration::from_secs(10)),
    meaning: "how long the peer's window may stay closed while data waits",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "zero_window_stall",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::Stalled)],
    supersedes: &[],
    settings: &[&AFTER],
    errnos: &["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    needs: &["quiet"],
    text: Text {
        en: Words {
            title: "peer does not read",
            seen: "\
The peer has closed its receive window: its program does not read. What this end has written waits; a blocking write \
hangs, another gives EAGAIN. The kernel probes the window; when the probes are not answered any more, or \
TCP_USER_TIMEOUT passes, it gives up, and the next call fails with ETIMEDOUT.",
            means: "\
As long as the peer's kernel answers the probes a connection with a closed window lives for ever. When it ends, the \
whole host vanished during the stall, or the program's own limit was shorter than it. The sender is not at fault.",
            advice: "Find out why the program at the other end did not read; then whether its host was reachable.",
            confirm: "ss -tnoim dst ADDRESS",
        },
        zh: Words {
            title: "对方不读数据",
            seen: "\
对方关闭了接收窗口:它的程序不读数据。本端写入的数据在等待;阻塞的写会挂起,非阻塞的得到 EAGAIN。内核探测窗口;探测不再得到应答或 TCP_USER_TIMEOUT 已到时放弃,下一次调用返回 ETIMEDOUT。",
            means: "\
只要对方内核应答探测,窗口关闭的连接可以永远存活。它结束时,是停滞期间整个主机消失,或程序自己的上限短于停滞时间。过错不在发送方。",
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
            expect: &[
                "zero_window_stall warning ETIMEDOUT local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
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
            name: "it stalls and is alive: told while it lasts, once",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c sample ESTABLISHED unsent=5000 window=0 probes=1
                6000ms   c sample ESTABLISHED unsent=5000 window=0 probes=1
                11100ms  c sample ESTABLISHED unsent=5000 window=0 probes=0
                16000ms  c sample ESTABLISHED unsent=5000 window=0 probes=1
            ",
            expect: &[
                "zero_window_stall warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "it stalls now and then, and data passes in between",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c sample ESTABLISHED unsent=5000 window=0
                6000ms   c sample ESTABLISHED sent=700 unsent=5000 window=0
                11100ms  c sample ESTABLISHED sent=900 unsent=5000 window=0
            ",
            expect: &[],
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
    if let Occasion::On(Moment::Stalled, at) = *view.occasion {
        return stalls(view, at);
    }
    let (Some((Timeout::ZeroWindow, errno)), Some(end)) = (timeout::of(view), view.end) else {
        return Verdict::No;
    };
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
        errno: Some(errno),
        facts,
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "{} had stopped reading (its window is closed), and {why}. {} of {} are lost, and its next call fails \
                 with {errno}.{}",
                end.tuple().remote_address(),
                bytes(at.undelivered()),
                who(owner, &comm(owner, "the process")),
                timeout::icmp_before(errno),
            ),
        )
    }))
}

/// It stalls now.
fn stalls(view: &View<'_>, at: Time) -> Verdict {
    let Some((end, (since, _))) = view.end.and_then(|end| Some((end, end.stalled?))) else {
        return Verdict::No;
    };
    let (own, lasts) = (&end.snapshot, at.since(since));
    if lasts < view.host.time(&AFTER) {
        return Verdict::No;
    }
    // Every answer to a probe sets the count back.
    let alive = own.socket.probes <= 1;
    let probed =
        if alive { "its host answers the probes" } else { "the probes of its window are not answered" };
    let process = who(owner(view), "the process");
    Verdict::Found(Box::new(Found {
        facts: vec![
            ("stalled_ns", Fact::Count(nanoseconds(lasts))),
            ("unsent_bytes", Fact::Count(own.unsent().into())),
            ("probes", Fact::Count(own.socket.probes.into())),
        ],
        ..Found::of(
            &PATTERN,
            if alive { 0.9 } else { 0.75 },
            format!(
                "{} has not read for at least {}: its window is closed, {probed}, and {} of {process} wait.",
                end.tuple().remote_address(),
                spoken(lasts),
                bytes(own.unsent()),
            ),
        )
    }))
}
