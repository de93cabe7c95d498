//! P63: both ends closed at the same time.

use super::{
    End, Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, peer_owner, who},
};
use crate::{event::Cookie, finding::Severity};
use tracer_common::{State, record::socket};

pub(super) static PATTERN: Pattern = Pattern {
    id: "simultaneous_close",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::Closing)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &[],
    text: Text {
        en: Words {
            title: "both ends closed at the same time",
            seen: "\
FIN_WAIT1 to CLOSING: this end's FIN had left and was not acknowledged when the peer's FIN came. Both ends go through \
CLOSING to TIME_WAIT.",
            means: "\
Nothing is wrong. It is ordinary where both ends close after the last byte of a protocol, and explains why both sides \
have sockets in TIME_WAIT.",
            advice: "Nothing.",
            confirm: "ss -tan state time-wait '( sport = :PORT or dport = :PORT )'",
        },
        zh: Words {
            title: "两端同时关闭",
            seen: "FIN_WAIT1 到 CLOSING:本端的 FIN 已发出、尚未被确认时,对方的 FIN 到达。两端都经过 CLOSING 进入 TIME_WAIT。",
            means: "没有问题。当两端在协议的最后一个字节之后都关闭时,这很平常,也解释了为什么两边都有 TIME_WAIT 套接字。",
            advice: "无需处理。",
            confirm: "ss -tan state time-wait '( sport = :PORT or dport = :PORT )'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends here: told once",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                0.1ms   s SYN_RECV>ESTABLISHED
                100ms   c ESTABLISHED>FIN_WAIT1 owned
                100ms   s ESTABLISHED>FIN_WAIT1 owned
                101ms   c FIN_WAIT1>CLOSING dead
                101ms   s FIN_WAIT1>CLOSING dead
                102ms   c CLOSING>CLOSE dead
                102ms   s CLOSING>CLOSE dead
            ",
            expect: &[
                "simultaneous_close info errno=none local=curl[42] peer=nginx[17] reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the other end is elsewhere",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                100ms   c ESTABLISHED>FIN_WAIT1 owned
                101ms   c FIN_WAIT1>CLOSING dead
                102ms   c CLOSING>CLOSE dead
            ",
            expect: &["simultaneous_close info errno=none local=curl[42] peer=none"],
        },
        Scenario {
            name: "one closes after the other",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                100ms   c ESTABLISHED>FIN_WAIT1 owned
                101ms   c FIN_WAIT1>FIN_WAIT2 dead
                200ms   c FIN_WAIT2>CLOSE dead done
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                100ms   c ESTABLISHED>FIN_WAIT1 owned
                100.5ms lost 1
                101ms   c FIN_WAIT1>CLOSING dead
            ",
            expect: &["simultaneous_close info local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Closing, _), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let closes = |state| matches!(state, State::Closing | State::Close);
    match view.peer.filter(|peer| closes(peer.snapshot.state)) {
        // One incident: the end that called connect() tells it.
        Some(peer) if rank(peer) < rank(end) => return Verdict::No,
        None if !view.last => return Verdict::Wait,
        _ => {}
    }
    let other = who(peer_owner(view), &end.tuple().remote_address().to_string());
    Verdict::Found(Box::new(Found::of(
        &PATTERN,
        0.99,
        format!("{} and {other} closed their connection at the same time.", who(owner(view), "A process")),
    )))
}

/// Which of two ends tells it: the one that called connect(), else the one with the smaller cookie.
fn rank(end: &End) -> (bool, Cookie) {
    (end.snapshot.past.flags & socket::OUTGOING == 0, end.snapshot.cookie)
}
