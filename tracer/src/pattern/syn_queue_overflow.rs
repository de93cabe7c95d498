//! P05: a queue of half-open connections is full.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::{
    event::{HalfOpen, QueueLook},
    finding::{Fact, Severity},
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "syn_queue_overflow",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::QueueFull)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT"],
    needs: &["synack"],
    text: Text {
        en: Words {
            title: "queue of half-open connections is full",
            seen: "\
More clients have sent a SYN and not the last segment of the handshake than the listener takes: the least of listen()'s \
backlog and net.core.somaxconn, and one more. With net.ipv4.tcp_syncookies=0 Linux then drops each further SYN without \
a word; with 1 it answers by a cookie and keeps nothing.",
            means: "\
A flood of SYNs with forged addresses, a scan, or clients whom the answers do not reach. Where SYNs are dropped, \
connects take 1, 3, 7 s or fail with ETIMEDOUT. With cookies real clients connect at once, and may go without window \
scaling and SACK; the flood then costs little more than the answers. The accept queue, which has the same limit, is not full: \
the process accepts fast enough.",
            advice: "\
Leave net.ipv4.tcp_syncookies at 1. Raise the backlog in the program and net.core.somaxconn together where the load \
is real. See where the half-open connections come from: filter a flood before it gets here; where the addresses are \
clients', look at the way back to them.",
            confirm: "ss -tn state syn-recv sport = :PORT; nstat -az 'TcpExtTCPReqQFull*'",
        },
        zh: Words {
            title: "半开连接队列已满",
            seen: "\
发来 SYN 而未完成握手最后一步的客户端超过了监听者的容量:listen() 的 backlog 与 net.core.somaxconn 中较小者再加一。net.ipv4.tcp_syncookies=0 时 Linux 悄悄丢弃之后的每个 SYN;为 1 时以 cookie 应答而不保存任何状态。",
            means: "\
伪造地址的 SYN 洪泛、扫描,或应答到不了的客户端。SYN 被丢弃时,连接要花 1、3、7 秒或以 ETIMEDOUT 失败。使用 cookie 时真实的客户端立即连上,但可能没有窗口缩放和 SACK;洪泛的代价只比应答本身略高。上限相同的 accept 队列并没有满:进程接受得够快。",
            advice: "\
保持 net.ipv4.tcp_syncookies 为 1。负载真实时,程序的 backlog 与 net.core.somaxconn 要一起提高。查看半开连接来自哪里:洪泛要在到达之前过滤;如果是真实客户端的地址,检查返回它们的路径。",
            confirm: "ss -tn state syn-recv sport = :PORT; nstat -az 'TcpExtTCPReqQFull*'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "SYNs are dropped",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                1500ms  l queue depth=0 limit=8 drops=3 syn_drops=3
            ",
            expect: &[
                "syn_queue_overflow warning errno=none local=nginx[17] peer=none reason=none also= count=3 signal=none complete",
            ],
        },
        Scenario {
            name: "SYNs are answered by cookies, look after look",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                1500ms  l queue depth=0 limit=8 syn_cookies=4
                1600ms  l holder nginx[17] fd=6
                1600ms  holders-done
                2500ms  l queue depth=1 limit=8 syn_cookies=2
            ",
            expect: &[
                "syn_queue_overflow local=nginx[17] count=4",
                "syn_queue_overflow local=nginx[17] count=2",
            ],
        },
        Scenario {
            name: "it dropped before anything was answered again",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                500ms   l queue depth=0 limit=8 drops=3 syn_drops=3
            ",
            expect: &["syn_queue_overflow warning local=nginx[17] count=3"],
        },
        Scenario {
            name: "cookies are sent to everybody (tcp_syncookies=2): nothing is full",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=1 limit=8
                1500ms  l queue depth=0 limit=8 syn_cookies=4
            ",
            expect: &[],
        },
        Scenario {
            name: "it was full for a moment, and no SYN came",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                1500ms  l queue depth=0 limit=8
            ",
            expect: &[],
        },
        Scenario {
            name: "it was full long ago",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                60000ms l queue depth=0 limit=8 syn_cookies=4
            ",
            expect: &[],
        },
        Scenario {
            name: "another listener of the namespace is the full one",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                o = 0.0.0.0:9090 > 0.0.0.0:0 in app[18]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                0ms     o CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                1500ms  o queue depth=0 limit=8 drops=1 syn_drops=3
                1500ms  o queue depth=0 limit=8 drops=0 syn_cookies=3
            ",
            expect: &[],
        },
        Scenario {
            name: "the accept queue is full: another pattern, also where handshakes pile up behind it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 depth=9 limit=8 acked
                1500ms  l queue depth=9 limit=8 drops=3 overflows=2 syn_drops=1
                2500ms  l queue depth=7 limit=8 syn_cookies=1
            ",
            expect: &["accept_queue_overflow critical local=nginx[17] count=3"],
        },
        Scenario {
            name: "an accept queue elsewhere in the namespace overflowed as well: whose the drops are nobody knows",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                500ms   l queue depth=0 limit=8 drops=3 overflows=2 syn_drops=3
            ",
            expect: &[],
        },
        Scenario {
            name: "an accept queue elsewhere in the namespace overflowed as well, and this one's half-open queue was seen full",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.9:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=9 limit=8
                1500ms  l queue depth=0 limit=8 drops=3 overflows=2 syn_drops=3
            ",
            expect: &["syn_queue_overflow warning local=nginx[17] count=3"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l CLOSE>LISTEN owned
                500ms   lost 1
                500ms   l queue depth=0 limit=8 drops=3 syn_drops=3
            ",
            expect: &["syn_queue_overflow warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::QueueFull, _), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((look, _)) = end.queue else { return Verdict::No };
    // Handshakes pile up behind a full accept queue: then that is the cause.
    if look.full() || end.half_open().is_some_and(|asked| asked.accept_queue_full()) {
        return Verdict::No;
    }
    let (dropped, cookies) = counted(&look, end.half_open());
    if dropped == 0 && cookies == 0 {
        return Verdict::No;
    }
    let takes = look.limit.saturating_add(1);
    let (confidence, full) = match end.half_open() {
        Some(asked) => (0.9, format!("{} wait there, it takes {takes}.", asked.half_open)),
        None => (0.8, format!("It takes {takes}.")),
    };
    let did = match (dropped, cookies) {
        (dropped, 0) => format!("{dropped} SYNs were newly dropped."),
        (0, cookies) => format!(
            "{cookies} SYNs were answered by a cookie since it was last looked at; clients that are real connect \
             all the same."
        ),
        (dropped, cookies) => format!("{dropped} SYNs were dropped and {cookies} answered by a cookie."),
    };
    let back = end
        .half_open()
        .filter(HalfOpen::repeated)
        .map_or("", |_| " One of its clients repeats its SYN: the answers may not reach it.");
    let mut facts = vec![
        ("queue_limit", Fact::Count(look.limit.into())),
        ("dropped", Fact::Count(dropped.into())),
        ("cookies", Fact::Count(cookies.into())),
    ];
    facts.extend(end.half_open().map(|asked| ("half_open", Fact::Count(asked.half_open.into()))));
    Verdict::Found(Box::new(Found {
        facts,
        count: u64::from(dropped.max(cookies)),
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "The queue of half-open connections of {} at {} is full. {did} {full}{back}",
                who(owner(view), "a process"),
                end.tuple().local_address(),
            ),
        )
    }))
}

/// SYNs of this listener's that were dropped, and those of its namespace that were answered by a cookie.
///
/// A cookie is counted for the namespace alone; a drop for the listener too, which drops for other reasons as well.
/// `tcp_conn_request()`: <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L7076-L7155>
fn counted(look: &QueueLook, full: Option<HalfOpen>) -> (u32, u32) {
    let dropped = look.drops.min(look.syn_drops);
    match full {
        Some(_) => (dropped, look.syn_cookies),
        None if look.overflows == 0 => (dropped, 0),
        None => (0, 0),
    }
}
