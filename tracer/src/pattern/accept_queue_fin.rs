//! P02: the client closed while its connection waited for accept().

use super::{
    Found, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{peer_owner, spoken, who},
};
use crate::{
    event::Presence,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::State;

static AFTER: Setting = Setting {
    key: "accept_queue_fin.after",
    default: Value::Time(Duration::from_secs(1)),
    meaning: "for how long a connection that its client has closed may wait for accept()",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "accept_queue_fin",
    severity: Severity::Warning,
    triggers: &[Trigger::Stay(State::CloseWait, &AFTER)],
    supersedes: &[],
    settings: &[&AFTER],
    errnos: &[],
    needs: &[],
    text: Text {
        en: Words {
            title: "client closed while waiting in the accept queue",
            seen: "\
The handshake was done, the connection waits for accept(), and the client has already closed it. accept() will \
still return it: reads give what the client had sent and then end of file, and the second write fails with EPIPE.",
            means: "\
The client gave up waiting, or sent its request and closed its direction at once, as some programs do. That it still \
waits for accept() means that the server accepts too slowly, or not at all: look for a blocked acceptor. This is no \
leak of descriptors: nobody has one for it yet.",
            advice: "\
Find what blocks the acceptor (a long pause, no descriptors left, a lock), and add acceptors. A longer queue only \
hides it.",
            confirm: "ss -ltn 'sport = :PORT'; nstat -az TcpExtListenOverflows",
        },
        zh: Words {
            title: "客户端在 accept 队列中等待时关闭",
            seen: "\
握手已完成,连接在等待 accept(),而客户端已经关闭。accept() 仍会返回它:读先得到客户端发送的内容,然后是文件结束;第二次写返回 EPIPE。",
            means: "\
客户端放弃了等待,或者像有些程序那样发完请求立即关闭自己的方向。它仍在等待 accept(),说明服务器接受得太慢,或者根本没有接受:找出被阻塞的接受者。这不是描述符泄漏:还没有人持有它的描述符。",
            advice: "找出阻塞接受者的原因(长时间停顿、描述符用尽、锁),并增加接受者。加长队列只会掩盖问题。",
            confirm: "ss -ltn 'sport = :PORT'; nstat -az TcpExtListenOverflows",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the acceptor is asleep",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in
                0ms      l CLOSE>LISTEN owned
                1ms      s SYN_RECV>ESTABLISHED queued
                10ms     c FIN_WAIT2>CLOSE dead
                10ms     s ESTABLISHED>CLOSE_WAIT queued received=7
                1020ms   s found waiting
            ",
            expect: &[
                "accept_queue_fin warning errno=none local=nginx[17] peer=curl[42] reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "it was accepted in the meantime",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms      l CLOSE>LISTEN owned
                1ms      s SYN_RECV>ESTABLISHED queued
                10ms     s ESTABLISHED>CLOSE_WAIT queued received=7
                1020ms   s found CLOSE_WAIT
            ",
            expect: &[],
        },
        Scenario {
            name: "it was accepted and closed in time",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms      l CLOSE>LISTEN owned
                1ms      s SYN_RECV>ESTABLISHED queued
                10ms     s ESTABLISHED>CLOSE_WAIT queued received=7
                200ms    s CLOSE_WAIT>LAST_ACK owned
                1020ms   s found gone
            ",
            expect: &[],
        },
        Scenario {
            name: "what its client sent was lost",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms      l CLOSE>LISTEN owned
                1ms      s SYN_RECV>ESTABLISHED queued
                10ms     s ESTABLISHED>CLOSE_WAIT queued received=7
                500ms    lost 1
                1020ms   s found waiting
            ",
            expect: &["accept_queue_fin warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Stayed { at }, Some(end)) = (*view.occasion, view.end) else { return Verdict::No };
    if end.snapshot.state != State::CloseWait || !end.snapshot.queued() {
        return Verdict::No;
    }
    match view.looked {
        None => return Verdict::Look,
        Some(Presence::Queued) => {}
        Some(_) => return Verdict::No,
    }
    let waited = Time::seen(end.snapshot.past.established_ns).map(|since| at.since(since));
    let time = waited.map_or(String::new(), |waited| format!(" for {}", spoken(waited)));
    let said = end.snapshot.socket.bytes_received;
    let mut facts = vec![("received_bytes", Fact::Count(said))];
    facts.extend(waited.map(|waited| ("queued_ns", Fact::Count(nanoseconds(waited)))));
    facts.push(("queue_length_before", Fact::Count(end.snapshot.socket.ack_backlog.into())));
    facts.push(("queue_limit", Fact::Count(end.snapshot.socket.max_ack_backlog.into())));
    Verdict::Found(Box::new(Found {
        facts,
        ..Found::of(
            &PATTERN,
            0.8,
            format!(
                "{} has closed its connection, which has waited{time} in the accept queue of {}.",
                who(peer_owner(view), &end.tuple().remote_address().to_string()),
                who(view.listener.and_then(|listener| listener.owner), "the server"),
            ),
        )
    }))
}
