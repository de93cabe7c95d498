//! P01: the client gave up while its connection waited for accept().

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{bytes, peer_owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::State;

/// A connection that was reset within this time and said nothing is a health check or a scan.
const PROBE: Duration = Duration::from_millis(10);

pub(super) static PATTERN: Pattern = Pattern {
    id: "accept_queue_reset",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[
        "connection_reset",
        "linger_zero_abort",
        "linger2_abort",
        "close_with_unread_data",
        "process_died",
        "memory_pressure_reset",
    ],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "reset while waiting in the accept queue",
            seen: "\
The handshake was done, the connection waited for accept(), and the client reset it. On Linux accept() still \
succeeds and returns the dead connection: getpeername() fails with ENOTCONN, reads give what had been sent and then \
ECONNRESET.",
            means: "\
POSIX wants ECONNABORTED from accept(), BSD removes the connection silently; Linux does neither. One such \
connection is a client that changed its mind. Many that waited long mean that the server accepts too slowly and \
clients time out. A connection that said nothing and left at once is a health check or a scan: info.",
            advice: "\
The server must take an error on the first read of an accepted connection as normal. If clients waited long, find \
what blocks the acceptor, and add acceptors.",
            confirm: "ss -ltn 'sport = :PORT'",
        },
        zh: Words {
            title: "在 accept 队列中等待时被复位",
            seen: "\
握手已完成,连接在等待 accept() 时被客户端复位。在 Linux 上 accept() 仍然成功,返回一个已死的连接:getpeername() 返回 ENOTCONN,读先得到已发送的数据,然后是 ECONNRESET。",
            means: "\
POSIX 要求 accept() 返回 ECONNABORTED,BSD 悄悄移除该连接;Linux 两者都不做。偶尔一次只是客户端改变了主意;如果很多连接等待很久,说明服务器 accept 太慢,客户端超时。什么都没发、立即离开的连接是健康检查或扫描,级别为 info。",
            advice: "服务器应把已接受连接上首次读的错误当作正常情况。如果客户端等待很久,要找出阻塞 accept 的原因,并增加接受者。",
            confirm: "ss -ltn 'sport = :PORT'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a client that waited too long aborts, both ends here",
            trace: "
                l = 127.0.0.1:8080 > 0.0.0.0:0 nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in
                0ms    l CLOSE>LISTEN owned
                1ms    c CLOSE>SYN_SENT owned
                1.1ms  c SYN_SENT>ESTABLISHED
                1.1ms  s SYN_RECV>ESTABLISHED queued
                2000ms c ESTABLISHED>CLOSE owned linger0
                2000.01ms s reset-received queued received=7
                2000.02ms s ESTABLISHED>CLOSE err=ECONNRESET queued received=7
                2000.05ms c reset-sent reason=TCP_STATE owned
            ",
            expect: &[
                "accept_queue_reset warning ECONNRESET local=nginx[17] peer=curl[42] reason=TCP_STATE complete",
            ],
        },
        Scenario {
            name: "a load balancer checks its health",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms    l CLOSE>LISTEN owned
                1.1ms  s SYN_RECV>ESTABLISHED queued
                1.2ms  s reset-received queued
                1.21ms s ESTABLISHED>CLOSE err=ECONNRESET queued
            ",
            expect: &["accept_queue_reset info ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "two processes listen: the owner is not known",
            trace: "
                k = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[18]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms    k CLOSE>LISTEN owned
                0ms    l CLOSE>LISTEN owned
                1.1ms  s SYN_RECV>ESTABLISHED queued
                900ms  s reset-received queued received=7
                900ms  s ESTABLISHED>CLOSE err=ECONNRESET queued received=7
            ",
            expect: &["accept_queue_reset warning ECONNRESET local=none"],
        },
        Scenario {
            name: "accepted a moment before: an ordinary reset",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    l CLOSE>LISTEN owned
                1.1ms  s SYN_RECV>ESTABLISHED queued
                900ms  s reset-received received=7
                900ms  s ESTABLISHED>CLOSE err=ECONNRESET received=7
            ",
            expect: &["connection_reset warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "a Fast Open child has no process yet either",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                1.2ms  s reset-received queued fastopen
                1.21ms s SYN_RECV>CLOSE err=ECONNRESET queued fastopen
            ",
            expect: &[],
        },
        Scenario {
            name: "what the client sent was lost",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms    l CLOSE>LISTEN owned
                1.1ms  s SYN_RECV>ESTABLISHED queued
                899.9ms lost 1
                900ms  s reset-received queued received=7
                900ms  s ESTABLISHED>CLOSE err=ECONNRESET queued received=7
            ",
            expect: &["accept_queue_reset warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { at, old, errno }, Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((_, before)) = end.reset_received else { return Verdict::No };
    let waiting = before.queued() && matches!(old, State::Established | State::CloseWait);
    if !waiting || !matches!(errno, Errno::ECONNRESET | Errno::EPIPE) {
        return Verdict::No;
    }
    if view.peer.is_none_or(|peer| peer.reset_sent.is_none()) && !view.last {
        return Verdict::Wait;
    }
    let waited = Time::seen(before.past.established_ns).map(|since| at.since(since));
    let said = before.socket.bytes_received;
    let probe = said == 0 && waited.is_some_and(|waited| waited < PROBE);
    let client = who(peer_owner(view), &end.tuple().remote_address().to_string());
    let server = who(view.listener.and_then(|listener| listener.owner), "the server");
    let time = waited.map_or(String::new(), |waited| format!(" after {}", spoken(waited)));
    let first = match u32::try_from(said) {
        Ok(0) => String::new(),
        Ok(count) => format!("{}, then ", bytes(count)),
        Err(_) => format!("{said} bytes, then "),
    };
    let mut facts = vec![("received_bytes", Fact::Count(said))];
    facts.extend(waited.map(|waited| ("queued_ns", Fact::Count(nanoseconds(waited)))));
    facts.push(("queue_length_before", Fact::Count(before.socket.ack_backlog.into())));
    facts.push(("queue_limit", Fact::Count(before.socket.max_ack_backlog.into())));
    Verdict::Found(Box::new(Found {
        severity: if probe { Severity::Info } else { PATTERN.severity },
        errno: Some(errno),
        facts,
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{client} reset its connection{time} in the accept queue of {server}. accept() will still return it; \
                 the process then gets {first}{errno}.",
            ),
        )
    }))
}
