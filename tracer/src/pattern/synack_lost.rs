//! P08: SYNs arrive here, and the answers do not reach the client.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::finding::{Fact, Severity};

/// Answers to one SYN, the first not counted, none of which can have arrived: one is lost anywhere, and a way of
/// seconds makes a client repeat its SYN as well.
const AGAIN: u32 = 3;

pub(super) static PATTERN: Pattern = Pattern {
    id: "synack_lost",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::HalfOpen)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT"],
    needs: &["synack"],
    text: Text {
        en: Words {
            title: "answers to a SYN do not reach the client",
            seen: "\
A client repeats its SYN, and this host answers again and again. A client that had got one of the answers would not \
repeat its SYN. The server's process is told nothing; the client's connect() takes seconds, or fails with ETIMEDOUT.",
            means: "\
The way to this host works, the way back does not: no route, or another one, for the client's address (several \
interfaces, policy routing); a firewall that sees one direction only; a load balancer that expects the answer; a \
firewall on the client's host. The accept queue and the queue of half-open connections have room: it is not the \
server that is slow. A host that does not exist repeats no SYN, so this is no flood with forged addresses.",
            advice: "\
See which way the answer takes, and whether that is the interface the SYN came in by. Then look for SYN-ACKs on \
either side of each firewall and load balancer on that way, and at the client.",
            confirm: "ip route get ADDRESS; ss -tn state syn-recv; nstat -az TcpExtTCPSynRetrans",
        },
        zh: Words {
            title: "对 SYN 的应答到不了客户端",
            seen: "\
客户端重复发送 SYN,本机一再应答。只要收到过一个应答,客户端就不会重复 SYN。服务器进程得不到任何通知;客户端的 connect() 要花数秒,或以 ETIMEDOUT 失败。",
            means: "\
到本机的路径是通的,返回的路径不通:没有到客户端地址的路由,或走了另一条(多网卡、策略路由);防火墙只看到一个方向;负载均衡器期待应答经过它;客户端主机上的防火墙。accept 队列和半开连接队列都有空位:不是服务器慢。不存在的主机不会重复 SYN,所以这不是伪造地址的洪泛。",
            advice: "查看应答走哪条路,是否就是 SYN 进来的网卡。再在这条路上每个防火墙和负载均衡器的两侧以及客户端查看 SYN-ACK。",
            confirm: "ip route get ADDRESS; ss -tn state syn-recv; nstat -az TcpExtTCPSynRetrans",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the client repeats its SYN; told once an attempt",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=1 limit=128
                1001ms  s answers-again listener=l answered=1 timeouts=1 half_open=1 limit=128
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                5000ms  s answers-again listener=l answered=3 timeouts=1 half_open=1 limit=128
                9000ms  s answers-again listener=l answered=4 timeouts=2 half_open=1 limit=128
            ",
            expect: &[
                "synack_lost warning errno=none local=nginx[17] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the client is on this host: its timeout names the server",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                0ms     c CLOSE>SYN_SENT owned
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                134000ms c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=10 unacked=1
            ",
            expect: &[
                "synack_lost warning errno=none local=nginx[17] peer=none",
                "connect_timeout warning ETIMEDOUT local=curl[42] peer=nginx[17]",
            ],
        },
        Scenario {
            name: "no client gets an answer: one record a window for the listener",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                a = 10.0.0.2:8080 > 10.0.0.1:40001
                b = 10.0.0.2:8080 > 10.0.0.3:40002
                c = 10.0.0.2:8080 > 10.0.0.4:40003
                0ms     l CLOSE>LISTEN owned
                3000ms  a answers-again listener=l answered=2 timeouts=1 half_open=3 limit=128
                3010ms  b answers-again listener=l answered=2 timeouts=1 half_open=3 limit=128
                3020ms  c answers-again listener=l answered=2 timeouts=1 half_open=3 limit=128
                5020ms  c answers-again listener=l answered=3 timeouts=1 half_open=3 limit=128
            ",
            expect: &["synack_lost local=nginx[17] count=1", "synack_lost local=nginx[17] count=2"],
        },
        Scenario {
            name: "the same client tries once more from the same port",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                5000ms  s answers-again listener=l answered=3 timeouts=1 half_open=1 limit=128
                73000ms s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
            ",
            expect: &["synack_lost local=nginx[17] count=1", "synack_lost local=nginx[17] count=1"],
        },
        Scenario {
            name: "the listener is older than the run, and nobody knows whose it is",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
            ",
            expect: &["synack_lost local=none peer=none"],
        },
        Scenario {
            name: "one answer was lost, and the next arrived",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=1 limit=128
                1001ms  s answers-again listener=l answered=1 timeouts=1 half_open=1 limit=128
            ",
            expect: &[],
        },
        Scenario {
            name: "the sender does not exist, or has gone: only the timer answers again",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                1000ms  s answers-again listener=l answered=0 timeouts=0 half_open=1 limit=128
                3000ms  s answers-again listener=l answered=1 timeouts=1 half_open=1 limit=128
                7000ms  s answers-again listener=l answered=2 timeouts=2 half_open=1 limit=128
                15000ms s answers-again listener=l answered=3 timeouts=3 half_open=1 limit=128
            ",
            expect: &[],
        },
        Scenario {
            name: "the client has answered, and the accept queue had no room for it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 depth=128 limit=128 acked
                5000ms  s answers-again listener=l answered=3 timeouts=1 half_open=1 depth=129 limit=128
            ",
            expect: &[],
        },
        Scenario {
            name: "the queue of half-open connections is full",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=9 limit=8
            ",
            expect: &[],
        },
        Scenario {
            name: "a handshake came to its end at last; what befalls the connection is its own",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                h = 10.0.0.2:8080 > 10.0.0.1:40000
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = swap c in worker[18]
                0ms     l CLOSE>LISTEN owned
                0ms     c CLOSE>SYN_SENT owned
                3000ms  h answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                5000ms  c SYN_SENT>ESTABLISHED
                5000ms  s SYN_RECV>ESTABLISHED
                6000ms  s ESTABLISHED>CLOSE owned dead linger0 shutdown=3
                6000ms  s reset-sent reason=TCP_STATE owned dead linger0
                6000ms  c reset-received
                6000ms  c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["synack_lost local=nginx[17]", "linger_zero_abort local=curl[42] peer=worker[18]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms     l CLOSE>LISTEN owned
                2995ms  lost 1
                3000ms  s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
            ",
            expect: &["synack_lost warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::HalfOpen, _), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some(asked) = end.half_open() else { return Verdict::No };
    // Where a queue is full the answers may well have arrived.
    if asked.again() < AGAIN || !asked.repeated() || asked.accept_queue_full() || asked.syn_queue_full() {
        return Verdict::No;
    }
    Verdict::Found(Box::new(Found {
        facts: vec![
            ("answered_again", Fact::Count(asked.again().into())),
            ("timeouts", Fact::Count(asked.timeouts.into())),
            ("half_open", Fact::Count(asked.half_open.into())),
        ],
        ..Found::of(
            &PATTERN,
            0.85,
            format!(
                "{} repeats its SYN to {} at {}. It was answered again {} times; no answer has reached it.",
                end.tuple().remote_address(),
                who(owner(view), "a process"),
                end.tuple().local_address(),
                asked.again(),
            ),
        )
    }))
}
