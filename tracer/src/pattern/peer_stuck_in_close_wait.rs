//! P61: this end has closed, and the other end never does.

use super::{
    Found, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words, close_wait_leak,
    words::{owner, peer_owner, spoken, who},
};
use crate::{
    event::Presence,
    finding::{Fact, Severity},
    time::nanoseconds,
};
use std::time::Duration;
use tracer_common::State;

/// How long FIN_WAIT2 is nobody's fault.
pub(super) static AFTER: Setting = Setting {
    key: "peer_stuck_in_close_wait.after",
    default: Value::Time(Duration::from_mins(1)),
    meaning: "how long a closed connection may wait for the peer's FIN; at most tcp_fin_timeout",
};

/// When the leak at the other end is due within this time, it is told instead: it knows more.
const SOON: Duration = Duration::from_secs(2);

pub(super) static PATTERN: Pattern = Pattern {
    id: "peer_stuck_in_close_wait",
    severity: Severity::Warning,
    triggers: &[Trigger::Parked(&AFTER)],
    supersedes: &[],
    settings: &[&AFTER],
    errnos: &[],
    needs: &[],
    text: Text {
        en: Words {
            title: "the peer does not close its end",
            seen: "\
A process here closed its connection; that was acknowledged, and no FIN has come back. Linux keeps a remainder of \
the socket in FIN_WAIT2 for tcp_fin_timeout (60 s), then forgets it without a word.",
            means: "\
The other end holds its socket in CLOSE_WAIT: it leaks descriptors there. When it writes at last, a RST answers, \
and it gets EPIPE. That the remainder still waits was confirmed with the kernel for this very connection: an \
ordinary close by this end first does not look different until then.",
            advice: "\
Nothing is wrong at this end. Tell the owners of the other end that they miss a close() after end of file.",
            confirm: "ss -tno state fin-wait-2 '( sport = :PORT or dport = :PORT )'",
        },
        zh: Words {
            title: "对方卡在 CLOSE_WAIT",
            seen: "本机的进程已关闭连接并得到确认,但一直没有收到对方的 FIN。Linux 把套接字残余留在 FIN_WAIT2,保留 tcp_fin_timeout(60 秒),然后不声不响地忘掉。",
            means: "\
另一端的套接字停在 CLOSE_WAIT:描述符在那里泄漏。它最终写入时会得到 RST,进而得到 EPIPE。残余仍在等待这一点,已就这条连接向内核确认;在此之前,它与本端先关闭的普通情况没有区别。",
            advice: "这一端没有问题。告诉另一端的负责人:读到文件结束之后缺少 close()。",
            confirm: "ss -tno state fin-wait-2 '( sport = :PORT or dport = :PORT )'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the other end, elsewhere, does not close",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                6ms      s FIN_WAIT2>CLOSE dead
                59910ms  s found FIN_WAIT2
            ",
            expect: &["peer_stuck_in_close_wait warning errno=none local=nginx[17] peer=none complete"],
        },
        Scenario {
            name: "an ordinary close by the server: the FIN came, unseen",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                6ms      s FIN_WAIT2>CLOSE dead
                59910ms  s found TIME_WAIT
            ",
            expect: &[],
        },
        Scenario {
            name: "the remainder is gone",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                6ms      s FIN_WAIT2>CLOSE dead
                59910ms  s found gone
            ",
            expect: &[],
        },
        Scenario {
            name: "the kernel cannot be asked: nothing is claimed",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                6ms      s FIN_WAIT2>CLOSE dead
                59910ms  s found unknown
            ",
            expect: &[],
        },
        Scenario {
            name: "the other end, on this host, closes in time",
            trace: "
                s = 127.0.0.1:8080 > 127.0.0.1:40000 in nginx[17]
                c = swap s out curl[42]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                5.1ms    c ESTABLISHED>CLOSE_WAIT
                6ms      s FIN_WAIT2>CLOSE dead
                9ms      c CLOSE_WAIT>LAST_ACK owned
                59910ms  s found FIN_WAIT2
            ",
            expect: &[],
        },
        Scenario {
            name: "a short tcp_fin_timeout: told before the leak at the other end is due",
            trace: "
                s = 127.0.0.1:8080 > 127.0.0.1:40000 in nginx[17]
                c = swap s out curl[42]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>FIN_WAIT1 owned
                5.1ms    c ESTABLISHED>CLOSE_WAIT
                6ms      s FIN_WAIT2>CLOSE dead fin_timeout=2
                1910ms   s found FIN_WAIT2
            ",
            expect: &["peer_stuck_in_close_wait warning local=nginx[17] peer=curl[42]"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Parked { at }, Some(orphan)) = (*view.occasion, view.parked) else { return Verdict::No };
    if orphan.reset_sent().is_some() || !orphan.told.is_empty() {
        return Verdict::No; // it ended otherwise, or the other end's leak has been told
    }
    if let Some(peer) = view.peer {
        if peer.snapshot.queued() || peer.snapshot.state != State::CloseWait {
            return Verdict::No; // nobody has accepted it, or it has moved on
        }
        let leak = peer.since.map(|since| since + view.host.time(&close_wait_leak::AFTER));
        if let Some(leak) = leak.filter(|leak| *leak > at && *leak <= at + SOON && view.now <= *leak) {
            return Verdict::WaitUntil(leak + view.host.time(&super::HOLD));
        }
    }
    match view.looked {
        None => return Verdict::Look,
        Some(Presence::In(State::FinWait2)) => {}
        Some(_) => return Verdict::No,
    }
    let waited = at.since(orphan.at);
    let peer = who(peer_owner(view), &orphan.tuple().remote_address().to_string());
    Verdict::Found(Box::new(Found {
        facts: vec![
            ("fin_wait2_ns", Fact::Count(nanoseconds(waited))),
            ("fin_timeout_ns", Fact::Count(nanoseconds(orphan.stays))),
        ],
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{} closed {} ago and that was acknowledged, but {peer} has not closed its end: it sits in CLOSE_WAIT there.",
                who(owner(view), "A process here"),
                spoken(waited),
            ),
        )
    }))
}
