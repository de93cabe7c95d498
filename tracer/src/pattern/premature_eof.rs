//! P11: the peer ended the stream where an answer was due.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, owner, peer_closed, peer_owner, spoken, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "premature_eof",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::EofRead)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &["receive_length", "send_length"],
    text: Text {
        en: Words {
            title: "end of file where an answer was due",
            seen: "\
A client sent something, and its next read returned 0: the peer has closed, in good order, without answering. There \
is no errno for this; programs say \"server closed the connection unexpectedly\", \"empty reply\" or \"premature end\".",
            means: "\
A process that is killed or exits without unread data closes with an ordinary FIN, which nothing on the wire tells \
from a close() on purpose. If the server is on this host its death is told; if not, this may also be how the protocol \
ends. A peer that had closed before the request was sent is another pattern (a RST answers then).",
            advice: "\
See whether the server restarted or crashed at this time, or has a limit on requests a connection or on idle time. \
Repeat an idempotent request on a new connection.",
            confirm: "journalctl --since -5min | grep -iE 'segfault|oom|exited'",
        },
        zh: Words {
            title: "该有应答处却是文件结束",
            seen: "客户端发出了请求,下一次读取却返回 0:对方正常关闭了连接而没有应答。这没有 errno;程序会说“服务器意外关闭连接”“空应答”或“提前结束”。",
            means: "\
被杀死或退出、且没有未读数据的进程,以普通的 FIN 关闭连接,在网络上与有意的 close() 无法区分。服务器在本机时会说明它的死亡;不在本机时,这也可能是协议本来的结束方式。请求发出之前对方已关闭的是另一种模式(那时会有 RST 应答)。",
            advice: "查看服务器此时是否重启或崩溃,是否限制了每连接请求数或空闲时间。幂等的请求可在新连接上重试。",
            confirm: "journalctl --since -5min | grep -iE 'segfault|oom|exited'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a server closes instead of answering",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.2ms   s FIN_WAIT2>CLOSE dead
                10.3ms   c eof-unanswered
                11ms     c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &[
                "premature_eof warning errno=none local=curl[42] peer=nginx[17] reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "it was killed: the death is told first",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned exit=SIGKILL
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.3ms   c eof-unanswered
                11ms     c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &[
                "premature_eof warning local=curl[42] peer=nginx[17]",
                "process_died critical local=nginx[17] peer=curl[42]",
            ],
        },
        Scenario {
            name: "the server is elsewhere",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c SYN_SENT>ESTABLISHED
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.3ms   c eof-unanswered
                11ms     c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &["premature_eof warning errno=none local=curl[42] peer=none"],
        },
        Scenario {
            name: "an answer had come",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c SYN_SENT>ESTABLISHED
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.3ms   c eof
                11ms     c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &[],
        },
        Scenario {
            name: "the request met an end that had closed: the late write tells",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.2ms   s FIN_WAIT2>CLOSE dead
                20ms     c reset-received unacked=9
                20ms     c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
                20ms     s remainder-reset reason=TCP_TIMEWAIT_SOCKET answers=PA:9
                20.1ms   c eof
            ",
            expect: &["fin_wait2_write_reset warning EPIPE"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c SYN_SENT>ESTABLISHED
                10.1ms   c ESTABLISHED>CLOSE_WAIT
                10.2ms   lost 3
                10.3ms   c eof-unanswered
                11ms     c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &["premature_eof warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::EofRead, _), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    // A RST tells more.
    if end.failed.is_some() || end.reset_received.is_some() {
        return Verdict::No;
    }
    let death = view.peer.and_then(super::End::death);
    let seen = death.is_some() || view.peer_parked.is_some();
    if !seen && !view.last {
        return Verdict::Wait;
    }
    let process = owner(view);
    let peer =
        peer_owner(view).map_or_else(|| end.tuple().remote_address().to_string(), |peer| who(Some(peer), ""));
    let (confidence, how) = match death {
        Some(death) => (0.95, format!("{peer} ended ({})", death.name())),
        None if seen => (0.7, format!("{peer} closed")),
        None => (0.6, format!("{peer} closed")),
    };
    let after = peer_closed(view)
        .filter(|closed| end.snapshot.past.born_ns != 0 && closed.0 > end.snapshot.past.born_ns);
    let age = after.map_or(String::new(), |closed| {
        format!(" {} into the connection", spoken(closed.since(crate::time::Time(end.snapshot.past.born_ns))))
    });
    let mut facts = vec![
        ("sent_bytes", Fact::Count(end.snapshot.socket.bytes_acked)),
        ("received_bytes", Fact::Count(end.snapshot.socket.bytes_received)),
    ];
    facts.extend(death.map(|death| ("death", Fact::Text(death.name()))));
    Verdict::Found(Box::new(Found {
        facts,
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "{} had sent a request, and {how}{age} without an answer: {} read end of file.",
                who(process, "A process"),
                comm(process, "it"),
            ),
        )
    }))
}
