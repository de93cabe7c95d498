//! P03: a listener was closed while connections waited for accept(), and each of them was reset.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::who,
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "listener_closed_with_queue",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::ResetSent)],
    supersedes: &[],
    settings: &[],
    errnos: &["ECONNRESET"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "listener closed with connections in its queue",
            seen: "\
A process closed its listening socket, or ended, while connections whose handshake was done waited for accept(). \
The kernel resets each of them: clients that were connected already get ECONNRESET.",
            means: "\
A deployment or restart that does not drain. With SO_REUSEPORT and net.ipv4.tcp_migrate_req=1 the kernel gives the \
waiting connections to another listener instead; the default is to reset them.",
            advice: "\
Take the server out of the load balancer first, then accept until EAGAIN, then close. Or hand the listening socket \
over (socket activation, SO_REUSEPORT with tcp_migrate_req).",
            confirm: "nstat -az TcpOutRsts TcpExtListenDrops; sysctl net.ipv4.tcp_migrate_req",
        },
        zh: Words {
            title: "监听者关闭时队列中还有连接",
            seen: "\
进程关闭了监听套接字或退出,而已完成握手的连接还在等待 accept()。内核会逐个复位它们:已经连上的客户端得到 ECONNRESET。",
            means: "\
这是没有先排空的部署或重启。使用 SO_REUSEPORT 且 net.ipv4.tcp_migrate_req=1 时,内核会把等待的连接交给另一个监听者;默认是复位。",
            advice: "先从负载均衡中摘除服务器,再 accept 到 EAGAIN,然后关闭。或者移交监听套接字(socket activation、SO_REUSEPORT 加 tcp_migrate_req)。",
            confirm: "nstat -az TcpOutRsts TcpExtListenDrops; sysctl net.ipv4.tcp_migrate_req",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "two clients waited, one of them here: one finding, at the listener",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in
                t = 10.0.0.2:8080 > 10.0.0.1:40001 in
                0ms      l CLOSE>LISTEN owned
                0.1ms    c CLOSE>SYN_SENT owned
                0.2ms    c SYN_SENT>ESTABLISHED
                0.2ms    s SYN_RECV>ESTABLISHED queued
                0.3ms    t SYN_RECV>ESTABLISHED queued
                90ms     l LISTEN>CLOSE owned
                90.05ms  c reset-received
                90.06ms  c ESTABLISHED>CLOSE err=ECONNRESET
                90.1ms   s ESTABLISHED>CLOSE queued
                90.11ms  s reset-sent reason=TCP_STATE queued
                90.2ms   t ESTABLISHED>CLOSE queued
                90.21ms  t reset-sent reason=TCP_STATE queued
            ",
            expect: &[
                "listener_closed_with_queue warning errno=none local=nginx[17] peer=curl[42] reason=TCP_STATE also= count=2 signal=none complete",
            ],
        },
        Scenario {
            name: "nobody waited",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                0ms      l CLOSE>LISTEN owned
                90ms     l LISTEN>CLOSE owned
            ",
            expect: &[],
        },
        Scenario {
            name: "another listens there by now",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                m = 0.0.0.0:8080 > 0.0.0.0:0 nginx[18]
                t = 10.0.0.2:8080 > 10.0.0.1:40001 in
                0ms      l CLOSE>LISTEN owned
                0.3ms    t SYN_RECV>ESTABLISHED queued
                89ms     m CLOSE>LISTEN owned
                90ms     l LISTEN>CLOSE owned
                90.2ms   t ESTABLISHED>CLOSE queued
                90.21ms  t reset-sent reason=TCP_STATE queued
            ",
            expect: &["listener_closed_with_queue warning local=nginx[17] peer=none count=1"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 nginx[17]
                t = 10.0.0.2:8080 > 10.0.0.1:40001 in
                0ms      l CLOSE>LISTEN owned
                90ms     l LISTEN>CLOSE owned
                90.2ms   t ESTABLISHED>CLOSE queued
                90.21ms  t reset-sent reason=TCP_STATE queued
                90.3ms   lost 1
            ",
            expect: &["listener_closed_with_queue warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::ResetSent, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    if cause::of(end, view.host) != Some(Cause::QueueClosed) {
        return Verdict::No;
    }
    let listener = view.listener.filter(|listener| listener.closed.is_some());
    // The first of them speaks for all.
    let dropped = listener.and_then(|listener| listener.closed.as_ref()).map(|(_, dropped)| dropped);
    if dropped.is_some_and(|dropped| dropped.first() != Some(&end.snapshot.cookie)) {
        return Verdict::No;
    }
    if !view.last {
        return Verdict::Wait;
    }
    let count = dropped.map_or(1, |dropped| dropped.len() as u64);
    let clients = if count == 1 { "1 client was".to_owned() } else { format!("{count} clients were") };
    let mut facts = vec![("clients", Fact::Count(count))];
    if let Some((closed, _)) = listener.and_then(|listener| listener.closed.as_ref()) {
        facts.push(("after_close_ns", Fact::Count(nanoseconds(at.since(*closed)))));
    }
    Verdict::Found(Box::new(Found {
        facts,
        count,
        ..Found::of(
            &PATTERN,
            0.98,
            format!(
                "{} closed its listener on port {} while {clients} waiting in its queue; they get ECONNRESET.",
                who(listener.and_then(|listener| listener.owner), "A process"),
                end.tuple().local_port,
            ),
        )
    }))
}
