//! P24: a program shut its own socket down, kept it, and was reset by its own kernel for what came after.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{bytes, comm, owner, peer_owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "shutdown_self_reset",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNRESET"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "own shutdown() refused data: ECONNRESET",
            seen: "\
A process called shutdown(SHUT_RDWR) and kept its socket open. Then data came. Its own kernel answered with a RST and \
reset its own socket as well: the next call here gives ECONNRESET, and the other end, which had seen the end of the \
stream, gets EPIPE from its next write.",
            means: "\
ECONNRESET says here that this end refused data, not that the other end reset anything: no RST came. Both ends see an \
error because one of them no longer wanted to read while the other still wrote.",
            advice: "\
To end only the own sending, use shutdown(SHUT_WR) and read until end of file. To be rid of the connection, close() the \
socket. Do not take this ECONNRESET for an error of the other end.",
            confirm: "strace -f -e trace=shutdown,close -p PID",
        },
        zh: Words {
            title: "自己的 shutdown() 拒绝了数据:ECONNRESET",
            seen: "\
进程调用了 shutdown(SHUT_RDWR),但没有关闭套接字。之后又有数据到来。它自己的内核以 RST 回答,并把它自己的套接字也复位:这一端的下一次调用得到 ECONNRESET,而对方(它已看到流的结束)的下一次写得到 EPIPE。",
            means: "\
这里的 ECONNRESET 说明是这一端拒绝了数据,而不是对方复位了什么:没有收到任何 RST。两端都看到错误,因为一端不再想读,而另一端还在写。",
            advice: "只想结束自己的发送,请用 shutdown(SHUT_WR) 并读到文件结束;想放弃连接,请 close() 套接字。不要把这个 ECONNRESET 当作对方的错误。",
            confirm: "strace -f -e trace=shutdown,close -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends are here: one finding, of the end that shut down",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms       c CLOSE>SYN_SENT owned
                0.1ms     c SYN_SENT>ESTABLISHED
                0.1ms     s SYN_RECV>ESTABLISHED
                10ms      s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                10.1ms    c ESTABLISHED>CLOSE_WAIT
                3210ms    s reset-received shutdown=3
                3210.01ms s FIN_WAIT2>CLOSE err=ECONNRESET shutdown=3
                3210.02ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9
                3210.03ms c reset-received unacked=9
                3210.04ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &[
                "shutdown_self_reset warning ECONNRESET local=nginx[17] peer=curl[42] reason=TCP_ABORT_ON_DATA also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the end that writes is elsewhere, and its data comes before it knows",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                5ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                9ms    s reset-received shutdown=3
                9.01ms s FIN_WAIT1>CLOSE err=ECONNRESET shutdown=3
                9.02ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9
                9.5ms  s recv ECONNRESET
            ",
            expect: &[
                "shutdown_self_reset warning ECONNRESET local=nginx[17] peer=none reason=TCP_ABORT_ON_DATA",
            ],
        },
        Scenario {
            name: "a kernel that gives no reason",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                5ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                9ms    s reset-received shutdown=3
                9.01ms s FIN_WAIT2>CLOSE err=ECONNRESET shutdown=3
                9.02ms s reset-sent answers=PA:9
            ",
            expect: &["shutdown_self_reset warning ECONNRESET local=nginx[17] reason=none"],
        },
        Scenario {
            name: "the other end's next write is another finding, which follows",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0.1ms     c SYN_SENT>ESTABLISHED
                0.1ms     s SYN_RECV>ESTABLISHED
                10ms      s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                10.1ms    c ESTABLISHED>CLOSE_WAIT
                3210ms    s reset-received shutdown=3
                3210.01ms s FIN_WAIT2>CLOSE err=ECONNRESET shutdown=3
                3210.02ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9
                3210.03ms c reset-received unacked=9
                3210.04ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
                4000ms    c send EPIPE
            ",
            expect: &[
                "shutdown_self_reset warning ECONNRESET local=nginx[17]",
                "broken_pipe warning EPIPE local=curl[42]",
            ],
        },
        Scenario {
            name: "a real RST answers its FIN: the peer has no such connection any more",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                5ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                9ms    s reset-received shutdown=3
                9.01ms s FIN_WAIT1>CLOSE err=ECONNRESET shutdown=3
            ",
            expect: &["connection_reset warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "it was closed for good: nobody is told here, and the writer has the finding",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0.1ms     c SYN_SENT>ESTABLISHED
                0.1ms     s SYN_RECV>ESTABLISHED
                10ms      s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                10.1ms    c ESTABLISHED>CLOSE_WAIT
                3210ms    s reset-received dead shutdown=3
                3210.01ms s FIN_WAIT2>CLOSE err=ECONNRESET dead shutdown=3
                3210.02ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9 dead
                3210.03ms c reset-received unacked=9
                3210.04ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &["fin_wait2_write_reset warning EPIPE local=curl[42] peer=nginx[17]"],
        },
        Scenario {
            name: "only its own sending is over: the answer is taken, nothing is reset",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms    c SYN_SENT>ESTABLISHED
                0ms    s SYN_RECV>ESTABLISHED
                10ms   c ESTABLISHED>FIN_WAIT1 owned shutdown=2
                10.1ms s ESTABLISHED>CLOSE_WAIT received=100
                500ms  s CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &[],
        },
        Scenario {
            name: "what the other end got was lost",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                5ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                9ms    lost 2
                9.01ms s FIN_WAIT2>CLOSE err=ECONNRESET shutdown=3
                9.02ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9
            ",
            expect: &["shutdown_self_reset warning ECONNRESET local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { at, old, errno: Errno::ECONNRESET }, Some(end)) = (*view.occasion, view.end)
    else {
        return Verdict::No;
    };
    if !matches!(old, State::FinWait1 | State::FinWait2) || end.snapshot.dead() {
        return Verdict::No;
    }
    if !end.reset_itself() {
        return if view.last { Verdict::No } else { Verdict::Wait };
    }
    let owner = owner(view);
    let refused = end.reset_sent.and_then(|sent| sent.answered).map_or(0, |segment| segment.payload);
    let shut = Time::seen(end.snapshot.past.fin_sent_ns).map(|shut| at.since(shut));
    let later = shut.map_or(String::new(), |shut| format!(" {} later", spoken(shut)));
    let remote = end.tuple().remote_address();
    let writer = peer_owner(view);
    let gets = writer.map_or_else(|| remote.to_string(), |writer| format!("{}[{}]", writer.comm, writer.pid));
    let mut facts = vec![("refused_bytes", Fact::Count(refused.into()))];
    facts.extend(shut.map(|shut| ("shut_for_ns", Fact::Count(nanoseconds(shut)))));
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::ECONNRESET),
        facts,
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{} had shut down both directions of its connection to {remote} and kept the socket; {} that came{later} \
                 reset it. The next call of {} fails with ECONNRESET although no RST came; one went out to {gets}.",
                who(owner, "A process"),
                bytes(refused),
                comm(owner, "the process"),
            ),
        )
    }))
}
