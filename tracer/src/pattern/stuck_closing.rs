//! P62: a process has closed, and the peer does not acknowledge the end.

use super::{
    End, Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{bytes, owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::State;

/// How long the end of a connection may be on its way.
pub(super) static AFTER: Setting = Setting {
    key: "stuck_closing.after",
    default: Value::Time(Duration::from_secs(10)),
    meaning: "how long a closed connection may wait for the peer to acknowledge its end",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "stuck_closing",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Stuck), Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[&AFTER],
    errnos: &[],
    needs: &["retransmit"],
    text: Text {
        en: Words {
            title: "closed, and the peer acknowledges nothing",
            seen: "\
The process has closed its socket (FIN_WAIT1, LAST_ACK or CLOSING), and what was sent last is not acknowledged: the \
kernel sends it again for up to a hundred seconds (tcp_orphan_retries), then forgets the connection without a word.",
            means: "\
close() had returned 0. Data that was written before it may never have arrived, and no call tells the process: there \
is none any more that could. The peer, or the path to it, has gone in the middle of the end. Where only the FIN is \
missing nothing is lost: info.",
            advice: "\
Where delivery matters, have the peer acknowledge it in the protocol, or shut down the sending side and read to the \
end of file before close().",
            confirm: "ss -tano state fin-wait-1 state last-ack state closing dst ADDRESS",
        },
        zh: Words {
            title: "已关闭,而对方不确认",
            seen: "\
进程已关闭套接字(FIN_WAIT1、LAST_ACK 或 CLOSING),而最后发送的内容没有被确认:内核最多重传一百秒(tcp_orphan_retries),然后一声不响地忘记连接。",
            means: "\
close() 早已返回 0。之前写入的数据可能从未到达,而没有任何调用会告知进程:已经没有可以告知的进程了。对方或通往它的路径在结束过程中消失。如果只缺 FIN,则没有损失,级别为 info。",
            advice: "如果必须确保送达,应在协议中由对方确认,或先关闭发送方向,读到文件结束后再 close()。",
            confirm: "ss -tano state fin-wait-1 state last-ack state closing dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "closed with data on its way, and the peer is silent",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned
                14000ms  c retransmit stuck dead retransmits=5 unacked=101
            ",
            expect: &[
                "stuck_closing warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "only the FIN is missing: nobody is hurt",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                500ms    s ESTABLISHED>CLOSE_WAIT
                1000ms   s CLOSE_WAIT>LAST_ACK owned
                14000ms  s retransmit stuck dead retransmits=5 unacked=1
            ",
            expect: &["stuck_closing info errno=none local=nginx[17]"],
        },
        Scenario {
            name: "the kernel gives up sooner than it is told",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c ESTABLISHED>FIN_WAIT1 owned
                4000ms  c FIN_WAIT1>CLOSE dead err=ETIMEDOUT retransmits=3 unacked=101
            ",
            expect: &["stuck_closing warning errno=none local=curl[42]"],
        },
        Scenario {
            name: "told while it lasts, and not again when it ends",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned
                14000ms  c retransmit stuck dead retransmits=5 unacked=101
                19000ms  c FIN_WAIT1>CLOSE dead err=ETIMEDOUT retransmits=8 unacked=101
            ",
            expect: &["stuck_closing warning local=curl[42]"],
        },
        Scenario {
            name: "the peer resets the orphan: it is not stuck",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c ESTABLISHED>FIN_WAIT1 owned
                1200ms  c reset-received dead unacked=101
                1200ms  c FIN_WAIT1>CLOSE dead err=ECONNRESET unacked=101
            ",
            expect: &[],
        },
        Scenario {
            name: "a retransmission of a close that comes to its end",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c ESTABLISHED>FIN_WAIT1 owned
                1200ms  c retransmit dead retransmits=1 unacked=1
            ",
            expect: &[],
        },
        Scenario {
            name: "its process is told of the end: another pattern's matter",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c ESTABLISHED>FIN_WAIT1 owned shutdown=2
                9000ms  c FIN_WAIT1>CLOSE err=ETIMEDOUT retransmits=3 unacked=101 shutdown=2
            ",
            expect: &["retransmission_timeout warning ETIMEDOUT local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c ESTABLISHED>FIN_WAIT1 owned
                13999ms  lost 1
                14000ms  c retransmit stuck dead retransmits=5 unacked=101
            ",
            expect: &["stuck_closing warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let (at, given_up) = match *view.occasion {
        Occasion::On(Moment::Stuck, at) if end.resent.is_some_and(|resent| resent.stuck) => (at, false),
        Occasion::Failed { at, old, errno } if gave_up(end, old, errno) => (at, true),
        _ => return Verdict::No,
    };
    let at_end = &end.snapshot;
    // The FIN counts as one byte.
    let lost = at_end.undelivered().saturating_sub(1);
    let waited = Time::seen(at_end.past.fin_sent_ns).map(|closed| at.since(closed));
    let since = waited.map_or(String::new(), |waited| format!(" {} ago", spoken(waited)));
    let what = match (lost, given_up) {
        (0, false) => "the peer does not acknowledge that; nothing else is missing".to_owned(),
        (0, true) => "the peer never acknowledged that; nothing else is missing".to_owned(),
        (lost, false) => format!("the peer acknowledges nothing, {} among it", bytes(lost)),
        (lost, true) => format!("the kernel has given it up: {} were never acknowledged", bytes(lost)),
    };
    let mut facts = vec![
        ("unacked_bytes", Fact::Count(lost.into())),
        ("retransmits", Fact::Count(at_end.socket.retransmits.into())),
        ("given_up", Fact::Flag(given_up)),
    ];
    facts.extend(waited.map(|waited| ("closed_for_ns", Fact::Count(nanoseconds(waited)))));
    Verdict::Found(Box::new(Found {
        severity: if lost == 0 { Severity::Info } else { PATTERN.severity },
        facts,
        ..Found::of(
            &PATTERN,
            0.9,
            format!(
                "{} closed its connection to {}{since}, and {what}. close() had returned 0, and nobody is told.",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
            ),
        )
    }))
}

/// Whether the kernel gave up an orphan that nobody is told of, and that was not told before.
///
/// `tcp_write_err()`: <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_timer.c#L67-L90>
fn gave_up(end: &End, old: State, errno: Errno) -> bool {
    let closes = matches!(old, State::FinWait1 | State::LastAck | State::Closing);
    let by_timer = !end.snapshot.owned() && end.reset_received.is_none() && errno != Errno::ECONNRESET;
    let told = end.resent.is_some_and(|resent| resent.stuck);
    closes && by_timer && end.snapshot.dead() && end.snapshot.unacked() > 0 && !told
}
