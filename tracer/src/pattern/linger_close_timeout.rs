//! P64: close() waited for the peer as long as SO_LINGER says, and gave up.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{bytes, owner, spoken, who},
};
use crate::{
    event::Presence,
    finding::{Fact, Severity},
    time::nanoseconds,
};
use std::time::Duration;
use tracer_common::State;

/// How long after its time close() has certainly returned.
const RETURNED: Duration = Duration::from_millis(100);

pub(super) static PATTERN: Pattern = Pattern {
    id: "linger_close_timeout",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::Lingers)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &[],
    text: Text {
        en: Words {
            title: "close() waited in vain (SO_LINGER)",
            seen: "\
A process closed a socket with SO_LINGER of some seconds. close() blocked for that time because the peer did not \
acknowledge what was on its way, then returned 0; the kernel goes on trying without the process.",
            means: "\
SO_LINGER makes close() wait; it does not make it tell. Its result is 0 whether the data arrived or not. A thread \
that closes this way stands still for the whole time.",
            advice: "\
Do not rely on SO_LINGER for delivery: shut down the sending side and read to the end of file, or have the peer \
acknowledge in the protocol. In an event loop leave the option out.",
            confirm: "ss -tano state fin-wait-1 state last-ack dst ADDRESS",
        },
        zh: Words {
            title: "close() 白白等待(SO_LINGER)",
            seen: "\
进程关闭了设置了若干秒 SO_LINGER 的套接字。对方没有确认在途数据,close() 为此阻塞了这段时间,然后返回 0;内核在没有进程的情况下继续尝试。",
            means: "SO_LINGER 让 close() 等待,但不让它告知结果:无论数据是否送达都返回 0。这样关闭的线程在整段时间内停住不动。",
            advice: "不要依靠 SO_LINGER 确保送达:先关闭发送方向并读到文件结束,或在协议中由对方确认。在事件循环中不要使用该选项。",
            confirm: "ss -tano state fin-wait-1 state last-ack dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the peer acknowledges nothing",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                3150ms   c found FIN_WAIT1
            ",
            expect: &[
                "linger_close_timeout info errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the peer acknowledges in time",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                1100ms   c FIN_WAIT1>FIN_WAIT2 dead
                3150ms   c found gone
            ",
            expect: &[],
        },
        Scenario {
            name: "a signal cuts the wait short, and kills who waits",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                1500ms   c exits SIGTERM
                3150ms   c found FIN_WAIT1
            ",
            expect: &[],
        },
        Scenario {
            name: "another process dies, and its own does when close() has returned",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                1500ms   c exits SIGTERM by=nginx[17]
                3050ms   c exits SIGTERM
                3150ms   c found FIN_WAIT1
            ",
            expect: &["linger_close_timeout info local=curl[42] complete"],
        },
        Scenario {
            name: "it was shut down, not closed: no call waits",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                3150ms   c found held
            ",
            expect: &[],
        },
        Scenario {
            name: "only its sending side was shut down",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=2 unacked=100
            ",
            expect: &[],
        },
        Scenario {
            name: "it cannot be asked: nothing is claimed",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned linger=2000 shutdown=3 unacked=100
                3150ms   c found unknown
            ",
            expect: &[],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Lingers, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let own = &end.snapshot;
    let Some(time) = own.linger_time(view.host.hz).filter(|_| own.shut_both_ways()) else {
        return Verdict::No;
    };
    let returned = at + time + RETURNED;
    match view.looked {
        None if view.now < returned && !view.last => Verdict::WaitUntil(returned),
        None => Verdict::Look,
        Some(Presence::In(State::FinWait1 | State::LastAck | State::Closing)) => {
            // The FIN has left after what is counted here.
            let lost = own.undelivered();
            let what = if lost == 0 { "its end".to_owned() } else { bytes(lost) };
            Verdict::Found(Box::new(Found {
                facts: vec![
                    ("linger_ns", Fact::Count(nanoseconds(time))),
                    ("unacked_bytes", Fact::Count(lost.into())),
                ],
                ..Found::of(
                    &PATTERN,
                    0.9,
                    format!(
                        "close() of {} waited up to {} for {} to acknowledge {what}, in vain, and returned 0.",
                        who(owner(view), "a process"),
                        spoken(time),
                        end.tuple().remote_address(),
                    ),
                )
            }))
        }
        Some(_) => Verdict::No,
    }
}
