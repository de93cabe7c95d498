//! P36: this host itself does not let the connection out.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{owner, who},
};
use crate::{
    errno::Errno,
    event::Call,
    finding::{Fact, Severity},
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "local_unreachable",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::Called)],
    supersedes: &["icmp_unreachable", "connect_timeout", "retransmission_timeout", "user_timeout"],
    settings: &[],
    errnos: &["ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM", "EINVAL", "ETIMEDOUT"],
    needs: &["call", "drop", "retransmit"],
    text: Text {
        en: Words {
            title: "this host does not let it out",
            seen: "\
connect() fails at once and no SYN is sent: ENETUNREACH (no route), EHOSTUNREACH (an `unreachable` route), EACCES (a \
`prohibit` route, or a security policy), EPERM (a security policy), EINVAL (a `blackhole` route). Or SYNs are made and \
do not leave: the next hop answers no ARP or neighbour discovery (EHOSTUNREACH after about three seconds), or an own \
firewall rule drops them (ETIMEDOUT, like a silent peer: Linux gives no EPERM for TCP then).",
            means: "\
The other host has nothing to do with it; it has received nothing. A network interface that goes down takes its \
routes along, so ENETUNREACH is also what a downed interface gives: Linux has ENETDOWN for raw sockets only.",
            advice: "\
Look at the route and the neighbour this host would use, in the network namespace of the process, and at the output \
rules of its firewall.",
            confirm: "ip route get ADDRESS; ip neigh show; nft list ruleset",
        },
        zh: Words {
            title: "本机不放行",
            seen: "\
connect() 立即失败,没有发出 SYN:ENETUNREACH(没有路由)、EHOSTUNREACH(`unreachable` 路由)、EACCES(`prohibit` 路由或安全策略)、EPERM(安全策略)、EINVAL(`blackhole` 路由)。或者 SYN 生成了却出不去:下一跳不应答 ARP 或邻居发现(约三秒后 EHOSTUNREACH),或者本机防火墙的输出规则丢弃它们(ETIMEDOUT,与沉默的对方相同:此时 Linux 不会为 TCP 返回 EPERM)。",
            means: "与对方主机无关;它什么也没有收到。网卡关闭时其路由随之消失,所以关闭的网卡给出的也是 ENETUNREACH:Linux 只对原始套接字给 ENETDOWN。",
            advice: "在进程所在的网络命名空间里查看本机会使用的路由和邻居,以及防火墙的输出规则。",
            confirm: "ip route get ADDRESS; ip neigh show; nft list ruleset",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "no route",
            trace: "
                c = 10.0.0.1:0 > 192.0.2.1:8080 out curl[42]
                0ms  c fails ENETUNREACH call=connect fd=5
            ",
            expect: &[
                "local_unreachable warning ENETUNREACH local=curl[42] fd=5 peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "a prohibit route",
            trace: "
                c = 10.0.0.1:0 > 192.0.2.1:8080 out curl[42]
                0ms  c fails EACCES call=connect fd=5
            ",
            expect: &["local_unreachable warning EACCES local=curl[42]"],
        },
        Scenario {
            name: "the next hop does not answer",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.9:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                3100ms  c SYN_SENT>CLOSE err=EHOSTUNREACH retransmits=2 refused=EBUSY
            ",
            expect: &[
                "local_unreachable warning EHOSTUNREACH local=curl[42] peer=none reason=none also= count=1",
            ],
        },
        Scenario {
            name: "the next hop has been asked for long already: no SYN is sent again",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.9:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                120ms  c SYN_SENT>CLOSE err=EHOSTUNREACH refused=EHOSTUNREACH
            ",
            expect: &["local_unreachable warning EHOSTUNREACH local=curl[42] also= count=1"],
        },
        Scenario {
            name: "an own rule drops the SYNs",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                3000ms  c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1 refused=EPERM
            ",
            expect: &[
                "local_unreachable warning ETIMEDOUT local=curl[42] peer=none reason=none also=connect_timeout count=1",
            ],
        },
        Scenario {
            name: "an own rule drops the data of an open connection",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c SYN_SENT>ESTABLISHED
                60000ms  c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=9 unacked=100 refused=EPERM
            ",
            expect: &["local_unreachable warning ETIMEDOUT local=curl[42]"],
        },
        Scenario {
            name: "connect() of a datagram socket, as resolvers try addresses",
            trace: "
                c = 10.0.0.1:0 > 192.0.2.1:53 out curl[42]
                0ms  c fails ENETUNREACH call=connect fd=5 bare
            ",
            expect: &[],
        },
        Scenario {
            name: "the SYNs leave, and nobody answers",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                3000ms  c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1
            ",
            expect: &["connect_timeout warning"],
        },
        Scenario {
            name: "a router answers",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1000ms  c SYN_SENT>CLOSE err=ENETUNREACH retransmits=1
                1001ms  c fails ENETUNREACH call=connect fd=5
            ",
            expect: &["icmp_unreachable warning ENETUNREACH local=curl[42]"],
        },
        Scenario {
            name: "connect() of a program that asks whether it is connected",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c fails EISCONN call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:0 > 192.0.2.1:8080 out curl[42]
                0ms  lost 2
                0ms  c fails EHOSTUNREACH call=connect fd=5
            ",
            expect: &["local_unreachable warning EHOSTUNREACH missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    match *view.occasion {
        Occasion::On(Moment::Called, _) => {
            let Some((called, _)) = end.called.as_deref().filter(|(called, _)| called.call == Call::Connect)
            else {
                return Verdict::No;
            };
            match refusal(called.errno) {
                // What has a state has sent a SYN; connect() of a datagram, as resolvers try addresses, sends none.
                Some((why, confidence)) if end.snapshot.state == State::Close && called.end.is_some() => {
                    found(view, called.errno, "at once, without a SYN", why, confidence)
                }
                _ => Verdict::No,
            }
        }
        Occasion::Failed { old, errno, .. } => {
            let Some(refused) = end.snapshot.send_errno() else { return Verdict::No };
            let connecting = old == State::SynSent;
            let silent = connecting && end.reset_received.is_none() && errno == Errno::EHOSTUNREACH;
            let timeout = timeout::of(view).map(|(which, _)| which);
            let by_timer =
                matches!(timeout, Some(Timeout::Connect | Timeout::Retransmission | Timeout::User));
            if !silent && !by_timer {
                return Verdict::No;
            }
            let why = match refused {
                Errno::EBUSY | Errno::EHOSTUNREACH if connecting => {
                    "the next hop does not answer ARP or neighbour discovery"
                }
                Errno::EPERM => "an own firewall rule drops them",
                Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENETDOWN => {
                    "there is no way to it any more"
                }
                _ => return Verdict::No,
            };
            // Only the errno tells a silent neighbour from a queue of this host that is stuck.
            let confidence = if refused == Errno::EBUSY && !silent { 0.8 } else { 0.95 };
            found(view, errno, "because its segments do not leave this host", why, confidence)
        }
        _ => Verdict::No,
    }
}

/// Why connect() is refused before a SYN is made, and how sure that is.
///
/// The types of routes and their errnos: `fib_props`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/fib_semantics.c#L88-L141>
fn refusal(errno: Errno) -> Option<(&'static str, f64)> {
    Some(match errno {
        Errno::ENETUNREACH => ("it has no route there", 0.99),
        Errno::EHOSTUNREACH => ("a route says unreachable", 0.99),
        Errno::EACCES => ("a route prohibits it, or a security policy does", 0.95),
        Errno::EPERM => ("a security policy forbids it", 0.95),
        // Also what an address of the wrong length gives.
        Errno::EINVAL => ("a blackhole route swallows it, or the address given is none", 0.8),
        _ => return None,
    })
}

fn found(view: &View<'_>, errno: Errno, how: &str, why: &str, confidence: f64) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let tuple = end.tuple();
    let process = who(owner(view), "A process");
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("why", Fact::Text(why.to_owned())),
            ("retransmits", Fact::Count(end.snapshot.socket.retransmits.into())),
        ],
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "The connection of {process} to {} fails with {errno} {how}: {why} (network namespace {}).",
                tuple.remote_address(),
                tuple.netns,
            ),
        )
    }))
}
