//! P04: an accept queue is full.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, owner, spoken, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "accept_queue_overflow",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::QueueFull)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT"],
    needs: &[],
    text: Text {
        en: Words {
            title: "accept queue is full",
            seen: "\
More connections wait for accept() than the queue takes: the least of listen()'s backlog and net.core.somaxconn, and \
one more. (Half-open connections are counted apart, by the same number.) Linux then drops SYNs and the last segment of handshakes without a word: no RST, no error at the server.",
            means: "\
The process accepts too slowly: it is blocked, out of descriptors, paused, or a burst is larger than the backlog. \
Clients see connects that take 1, 3, 7 s, or ETIMEDOUT; a client whose last handshake segment was dropped believes \
it is connected. With net.ipv4.tcp_abort_on_overflow=1 that client gets ECONNRESET.",
            advice: "\
Find what keeps the acceptor busy. Raise the backlog in the program and net.core.somaxconn together, and only \
against bursts: a longer queue makes a slow acceptor's clients wait longer.",
            confirm: "ss -tlnp sport = :PORT; nstat -az TcpExtListenOverflows TcpExtListenDrops",
        },
        zh: Words {
            title: "accept 队列已满",
            seen: "\
等待 accept() 的连接超过了队列容量:listen() 的 backlog 与 net.core.somaxconn 中较小者再加一(半开连接另计,上限相同)。此时 Linux 悄悄丢弃 SYN 和握手的最后一个报文:没有 RST,服务器也得不到错误。",
            means: "\
进程接受得太慢:被阻塞、描述符耗尽、暂停,或突发超过 backlog。客户端看到 1、3、7 秒的连接时间,或 ETIMEDOUT;握手最后一个报文被丢弃的客户端以为已经连上。net.ipv4.tcp_abort_on_overflow=1 时这样的客户端得到 ECONNRESET。",
            advice: "查清是什么占用了接受线程。程序的 backlog 与 net.core.somaxconn 要一起提高,而且只用来应付突发:更长的队列只会让慢接受者的客户端等得更久。",
            confirm: "ss -tlnp sport = :PORT; nstat -az TcpExtListenOverflows TcpExtListenDrops",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "it is full and drops",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  l queue depth=3 limit=2 drops=4 overflows=4
            ",
            expect: &[
                "accept_queue_overflow critical errno=none local=nginx[17] peer=none reason=none also= count=4 signal=none complete",
            ],
        },
        Scenario {
            name: "it overflowed between two looks",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  l queue depth=0 limit=2 drops=4 overflows=4
            ",
            expect: &["accept_queue_overflow critical local=nginx[17] count=4"],
        },
        Scenario {
            name: "it stays full, and nobody knocks",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  l queue depth=3 limit=2
                2000ms  l queue depth=3 limit=2
                3000ms  l queue depth=3 limit=2
            ",
            expect: &["accept_queue_overflow warning local=nginx[17] count=1"],
        },
        Scenario {
            name: "full for a moment",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  l queue depth=3 limit=2
                2000ms  l queue depth=1 limit=2
                3000ms  l queue depth=3 limit=2
            ",
            expect: &[],
        },
        Scenario {
            name: "it drops what is not for its accept queue: the SYN queue, a handshake that was given up",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  l queue depth=0 limit=2 drops=2
            ",
            expect: &[],
        },
        Scenario {
            name: "its queue of half-open connections is full, and an accept queue elsewhere overflowed",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=3 limit=2
                1500ms  l queue depth=0 limit=2 drops=4 overflows=1 syn_drops=4
            ",
            expect: &["syn_queue_overflow warning local=nginx[17] count=4"],
        },
        Scenario {
            name: "it overflowed, and another's queue of half-open connections is full",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                o = 0.0.0.0:9090 > 0.0.0.0:0 in app[18]
                s = 10.0.0.2:9090 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                0ms     o CLOSE>LISTEN owned
                1000ms  s answers-again listener=o answered=0 timeouts=0 half_open=3 limit=2
                1500ms  l queue depth=0 limit=2 drops=2 overflows=2 syn_drops=4
            ",
            expect: &["accept_queue_overflow critical local=nginx[17] count=2"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                1000ms  lost 1
                1000ms  l queue depth=3 limit=2 drops=4 overflows=4
            ",
            expect: &["accept_queue_overflow critical local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::QueueFull, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((look, full_since)) = end.queue else { return Verdict::No };
    // SYNs for which there was no room among the half-open connections are counted for the listener as well.
    let others = look.drops > look.syn_drops && look.overflows > 0;
    let overflowed = look.drops > 0 && (look.full() || others);
    let before = full_since.filter(|since| *since < at);
    let (severity, confidence, count, what) = match before {
        _ if overflowed => {
            let confidence = if look.full() { 0.97 } else { 0.9 };
            let what = format!("has newly dropped {} SYNs or handshakes", look.drops);
            (Severity::Critical, confidence, u64::from(look.drops), what)
        }
        Some(since) => {
            let what = format!("has been full for {}; what comes now is dropped", spoken(at.since(since)));
            (PATTERN.severity, 0.8, 1, what)
        }
        None => return Verdict::No,
    };
    let advice = format!(
        "The backlog is {} now: the least of what {} asked for and net.core.somaxconn. {}",
        look.limit,
        comm(owner(view), "the process"),
        PATTERN.text.en.advice,
    );
    Verdict::Found(Box::new(Found {
        advice,
        severity,
        facts: vec![
            ("queue_depth", Fact::Count(look.depth.into())),
            ("queue_limit", Fact::Count(look.limit.into())),
            ("drops", Fact::Count(look.drops.into())),
        ],
        count,
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "The accept queue of {} at {} {what}; {} wait, it takes {}.",
                who(owner(view), "a process"),
                end.tuple().local_address(),
                look.depth,
                look.limit.saturating_add(1),
            ),
        )
    }))
}
