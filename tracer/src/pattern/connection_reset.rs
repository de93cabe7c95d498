//! P13: a RST ended an open connection.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{comm, loss, owner, peer_owner, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "connection_reset",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "connection reset by the peer",
            seen: "\
A RST arrived for an open connection. The next send or receive fails with ECONNRESET, once; after that reads give \
end of file and writes EPIPE with SIGPIPE. Had the peer's FIN come before, the errno is EPIPE, and reads give end \
of file for ever.",
            means: "\
The other end gave the connection up: it aborted on purpose (SO_LINGER 0), closed while data was unread, lost its \
state, or a device on the path spoke for it. From this end alone these cannot be told apart; where the other end is \
on this host too, its process and the kernel's reason are named. Data that was sent and not acknowledged is lost.",
            advice: "\
Ask the other end why: run this tool there, or look at its log at this time. Retry what may be repeated on a new \
connection.",
            confirm: "nstat -az TcpEstabResets TcpExtTCPAbortOnData TcpExtTCPAbortOnClose",
        },
        zh: Words {
            title: "连接被对方复位",
            seen: "\
一个已建立的连接收到了 RST。下一次收发返回 ECONNRESET,仅一次;此后读得到文件结束,写得到 EPIPE 和 SIGPIPE。如果对方的 FIN 先到,则 errno 是 EPIPE,读永远得到文件结束。",
            means: "\
对方放弃了连接:主动中止(SO_LINGER 0)、在有未读数据时关闭、丢失了状态,或者路径上的设备代它发送。仅从这一端无法区分;如果另一端也在本机,会给出它的进程和内核的原因。已发送而未确认的数据丢失。",
            advice: "到另一端查原因:在那里运行本工具,或查看它当时的日志。可以重复的请求在新连接上重试。",
            confirm: "nstat -az TcpEstabResets TcpExtTCPAbortOnData TcpExtTCPAbortOnClose",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends here, and the reason is none of the known ones",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                0.1ms   s SYN_RECV>ESTABLISHED
                100ms   s ESTABLISHED>CLOSE owned shutdown=3
                100.01ms c reset-received unacked=9
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=9
                100.05ms s reset-sent reason=NOT_SPECIFIED owned shutdown=3
            ",
            expect: &[
                "connection_reset warning ECONNRESET local=curl[42] peer=nginx[17] reason=NOT_SPECIFIED",
            ],
        },
        Scenario {
            name: "the cause is not visible here",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=none"],
        },
        Scenario {
            name: "its records were lost, and the program comes upon it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                100ms   c recv ECONNRESET closed owned
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=none missing=state_change"],
        },
        Scenario {
            name: "its own disconnect leaves ECONNRESET to itself",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out redis[42]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                100ms   c ESTABLISHED>CLOSE owned
                100.1ms c recv ECONNRESET closed owned
            ",
            expect: &[],
        },
        Scenario {
            name: "a call fails long after its incident was told",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                0.1ms   c SYN_SENT>ESTABLISHED
                100ms   c reset-received
                100ms   c ESTABLISHED>CLOSE err=ECONNRESET
                60000ms c recv ECONNRESET closed owned told
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=none complete"],
        },
        Scenario {
            name: "a server that only waits is found by a look",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms     s SYN_RECV>ESTABLISHED
                100ms   s reset-received
                100.02ms s ESTABLISHED>CLOSE err=ECONNRESET
                200ms   s holder nginx[17] fd=9
                200ms   holders-done
            ",
            expect: &["connection_reset warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "an orphan is reset: nobody is told",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms     s SYN_RECV>ESTABLISHED
                5ms     s ESTABLISHED>FIN_WAIT1 owned
                9ms     s reset-received dead
                9.01ms  s FIN_WAIT1>CLOSE err=ECONNRESET dead
            ",
            expect: &[],
        },
        Scenario {
            name: "its own shutdown refuses data: no RST came",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms     s SYN_RECV>ESTABLISHED
                5ms     s ESTABLISHED>FIN_WAIT1 owned
                9ms     s reset-received shutdown=3
                9.01ms  s FIN_WAIT2>CLOSE err=ECONNRESET shutdown=3
                9.02ms  s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9
            ",
            expect: &["shutdown_self_reset warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "a subflow of MPTCP ends, the connection lives",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c SYN_SENT>ESTABLISHED
                9ms     c reset-received mptcp
                9.01ms  c ESTABLISHED>CLOSE err=ECONNRESET mptcp
            ",
            expect: &[],
        },
        Scenario {
            name: "the record of the sender was lost",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms     c SYN_SENT>ESTABLISHED
                9ms     c reset-received
                9.01ms  c ESTABLISHED>CLOSE err=ECONNRESET
                9.05ms  lost 1
            ",
            expect: &["connection_reset warning peer=none missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { old, errno, .. }, Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((_, before)) = end.reset_received else { return Verdict::No };
    let open = matches!(old, State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait);
    if !open || before.queued() || before.dead() {
        return Verdict::No;
    }
    if end.reset_itself() || cause::peer_reset_itself(view) {
        return Verdict::No; // no RST came, or it is told of the end that caused it: `shutdown_self_reset`
    }
    let sender = view.peer.and_then(|peer| peer.reset_sent);
    match cause::of_reset(view) {
        Some(Cause::Open) if !view.last => return Verdict::Wait,
        None | Some(Cause::Other | Cause::Open) => {}
        Some(_) => return Verdict::No, // a pattern of its own says why
    }
    if view.loose.is_some_and(|loose| !loose.of_syn()) && old != State::CloseWait {
        return Verdict::No; // the other end has no such connection: `peer_lost_state`
    }
    if sender.is_none() && view.loose.is_none() && !view.last {
        return Verdict::Wait;
    }
    let owner = owner(view);
    let reason =
        sender.and_then(|sent| view.host.reason(sent.reason)).map_or(String::new(), |r| format!(" ({r})"));
    let what = match (peer_owner(view), sender) {
        (Some(peer), Some(_)) => {
            format!("{} reset its connection to {}{reason}.", who(Some(peer), ""), who(owner, "a process"))
        }
        _ => format!(
            "A RST from {} ended an open connection of {}; what caused it cannot be seen from here.",
            end.tuple().remote_address(),
            who(owner, "a process"),
        ),
    };
    let told_loss = loss(&end.snapshot);
    let call = if errno == Errno::EPIPE { "write" } else { "read or write" };
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
            ("unsent_bytes", Fact::Count(end.snapshot.unsent().into())),
            ("unread_bytes", Fact::Count(before.unread().into())),
            ("received_bytes", Fact::Count(before.socket.bytes_received)),
            ("retransmits", Fact::Count(before.socket.retransmits.into())),
        ],
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{what} The next {call} of {} fails with {errno}.{told_loss}",
                comm(owner, "the process")
            ),
        )
    }))
}
