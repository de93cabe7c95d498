//! P22: a RST in the peer's name that the peer has not sent.

use super::{
    End, Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, loss, owner, who},
};
use crate::{
    errno::Errno,
    event::{Presence, Snapshot},
    finding::{Fact, Severity},
};
use tracer_common::{State, record::socket::TTL_VARIES};

/// What hosts send with: Linux and BSD 64, Windows 128, others 255.
const INITIAL: [u8; 3] = [64, 128, 255];

pub(super) static PATTERN: Pattern = Pattern {
    id: "forged_reset",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &["connection_reset", "peer_lost_state"],
    settings: &[],
    errnos: &["ECONNRESET"],
    needs: &["reset_received", "ttl"],
    text: Text {
        en: Words {
            title: "RST that the peer has not sent",
            seen: "\
A RST arrived for an established connection, and the next call fails with ECONNRESET. Either the RST came over \
another number of hops than the peer's segments (its time to live differs), or the other end is on this host, is \
still open and has sent none.",
            means: "\
Something between the two ends spoke in the peer's name: a firewall rule that rejects with a reset (of this host, too), \
an intrusion prevention system, a load balancer or NAT that has let go of the flow, or an attacker who guessed the \
numbers. The peer often knows nothing and keeps its end open. A difference of a single hop may also be another route. \
A device that copies the time to live cannot be told from the peer: `connection_reset`.",
            advice: "\
Look for the device, not at the peer: firewall rules with `reject with tcp reset` here and on the way, their idle \
timeouts against the connection's silence, the log of the load balancer. Close the peer's end, which may be open still.",
            confirm: "nft list ruleset | grep 'tcp reset'; nstat -az TcpEstabResets TcpOutRsts",
        },
        zh: Words {
            title: "并非对方发送的 RST",
            seen: "\
一个已建立的连接收到了 RST,下一次调用返回 ECONNRESET。或者该 RST 经过的跳数与对方报文段不同(TTL 不同),或者另一端就在本机,仍然打开,并且没有发送过 RST。",
            means: "\
两端之间有什么东西以对方的名义说话:以 RST 拒绝的防火墙规则(也可能是本机的)、入侵防御系统、已放弃该流的负载均衡或 NAT,或者猜中了序列号的攻击者。对方往往毫不知情,它那一端仍然打开。只差一跳也可能是路由不同。复制 TTL 的设备无法与对方区分:此时为 `connection_reset`。",
            advice: "\
要找的是设备而不是对方:本机和沿途带有 `reject with tcp reset` 的防火墙规则,它们的空闲超时与连接的沉默时间,负载均衡的日志。关闭对方那一端,它可能仍然打开。",
            confirm: "nft list ruleset | grep 'tcp reset'; nstat -az TcpEstabResets TcpOutRsts",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "it came from nearer than the peer is",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                100ms   c reset-received reset_ttl=61
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["forged_reset warning ECONNRESET local=curl[42] peer=none count=1 complete"],
        },
        Scenario {
            name: "the other end is on this host, open, and has sent none",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED ttl=64
                100ms   c reset-received reset_ttl=64
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
                130ms   c found ESTABLISHED
            ",
            expect: &["forged_reset warning ECONNRESET local=curl[42] peer=none"],
        },
        Scenario {
            name: "a NAT that answers a keepalive probe after an hour",
            trace: "
                c = [2001:db8::1]:40000 > [2001:db8::2]:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED ttl=49
                3600000ms c reset-received reset_ttl=63 keepalive probes=1
                3600000.1ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["forged_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "a rule of this host rejects what it sends",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=64
                99.9ms  c rejected answers=PA:7
                100ms   c reset-received reset_ttl=64 unacked=7
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=7
            ",
            expect: &["forged_reset warning ECONNRESET local=curl[42] peer=none count=1 complete"],
        },
        Scenario {
            name: "a rule of this host has rejected something long before, and something of another connection",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                d = 10.0.0.1:40001 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED ttl=64
                5ms      c rejected answers=PA:7
                1999.9ms d rejected answers=PA:7
                2000ms   c reset-received reset_ttl=64
                2000.1ms c ESTABLISHED>CLOSE err=ECONNRESET
                2030ms   c found gone
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] complete"],
        },
        Scenario {
            name: "from as far as the peer: nobody can tell",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                100ms   c reset-received reset_ttl=52
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
                130ms   c found gone
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] complete"],
        },
        Scenario {
            name: "as many hops from another beginning: the peer's kernel, whose program has set IP_TTL",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:179 out bird[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=254
                100ms   c reset-received reset_ttl=63
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=bird[42]"],
        },
        Scenario {
            name: "the peer's segments come by ways of several lengths",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=52 ttl_varies
                100ms   c reset-received reset_ttl=54
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "nothing is known of the peer's distance",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED preexisting
                100ms   c reset-received reset_ttl=52
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "the peer's RST was seen",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = swap c in nginx[17]
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                100ms   s ESTABLISHED>CLOSE owned shutdown=3
                100.1ms c reset-received reset_ttl=61
                100.2ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.3ms s reset-sent reason=NOT_SPECIFIED owned shutdown=3
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=nginx[17]"],
        },
        Scenario {
            name: "the other host's kernel has no such connection, and is this one",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=63
                100ms   c loose reason=NO_SOCKET answers=PA:7
                100.1ms c reset-received reset_ttl=64 unacked=7
                100.2ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=7
            ",
            expect: &["peer_lost_state warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "the other end has connected anew from its port: the look finds that one",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms     s SYN_RECV>ESTABLISHED ttl=64
                100ms   s refuses answers=S:0
                100.1ms s reset-received reset_ttl=64
                100.2ms s ESTABLISHED>CLOSE err=ECONNRESET
                130ms   s found ESTABLISHED
            ",
            expect: &["stale_connection_killed warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "an earlier RST came from elsewhere and was not believed; then the peer resets",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                50ms    c refuses answers=R:0 outside reset_ttl=61 segment_ttl=61
                100ms   c ESTABLISHED>CLOSE_WAIT
                200ms   c reset-received
                200.1ms c CLOSE_WAIT>CLOSE err=EPIPE
            ",
            expect: &["connection_reset warning EPIPE local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it: the peer's may be among them",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                100ms   c reset-received reset_ttl=61
                100.1ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.2ms lost 1
                130ms   c found ESTABLISHED
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    // Only of an established connection the kernel tells the segments that came.
    let (Occasion::Failed { at, old: State::Established, errno }, Some(end)) = (*view.occasion, view.end)
    else {
        return Verdict::No;
    };
    let Some((_, before)) = end.reset_received.filter(|_| !end.unseen) else { return Verdict::No };
    if before.queued() || before.dead() || end.refused_syn.is_some() || view.lost {
        return Verdict::No;
    }
    let sent = view.peer.is_some_and(|peer| peer.reset_sent.is_some() || peer.failed.is_some());
    if sent || view.peer_parked.is_some() || view.loose.is_some_and(|loose| !loose.of_syn()) {
        return Verdict::No; // the other end spoke
    }
    if view.rejected_here() {
        return by_own_rule(view, end, errno);
    }
    // The record of a RST that was sent here comes at once, as a rule: only of the others the peer is looked for.
    let unexplained = at + view.host.time(&super::HOLD) / 2;
    let looked = match view.peer_looked {
        None if view.now < unexplained && !view.last => return Verdict::WaitUntil(unexplained),
        None => return Verdict::LookAtPeer,
        Some(_) if !view.last => return Verdict::Wait,
        Some(looked) => looked,
    };
    let open = looked == Presence::In(State::Established);
    let further = hops_apart(&before);
    let (how, confidence) = match further {
        _ if open => ("the other end is on this host, is still open and has sent no RST".to_owned(), 0.97),
        Some(hops) => {
            let (own, came) = (before.past.ttl, before.past.reset_ttl);
            let how = format!("it came with a time to live of {came}, the other end's segments with {own}");
            // Another route may be longer or shorter by one.
            (how, if hops == 1 { 0.7 } else { 0.85 })
        }
        None => return Verdict::No,
    };
    let owner = owner(view);
    let told_loss = loss(&end.snapshot);
    let mut facts = vec![("peer_open", Fact::Flag(open))];
    if before.past.ttl != 0 && before.past.reset_ttl != 0 {
        facts.push(("peer_ttl", Fact::Count(before.past.ttl.into())));
        facts.push(("reset_ttl", Fact::Count(before.past.reset_ttl.into())));
    }
    facts.push(("unacked_bytes", Fact::Count(end.snapshot.unacked().into())));
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "A RST in the name of {} ended the connection of {}, but {how}: a firewall or another device between \
                 them made it. The next call of {} fails with {errno}.{told_loss}",
                end.tuple().remote_address(),
                who(owner, "a process"),
                comm(owner, "the process"),
            ),
        )
    }))
}

/// The rule was seen to make it, whatever its time to live and whether or not the peer is here.
fn by_own_rule(view: &View<'_>, end: &End, errno: Errno) -> Verdict {
    let owner = owner(view);
    let address = end.tuple().remote_address();
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("own_firewall", Fact::Flag(true)),
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
        ],
        ..Found::of(
            &PATTERN,
            0.99,
            format!(
                "A firewall rule of this host ended the connection of {} to {address}: it rejected what was sent with \
                 a RST in the name of {address}, which has sent none. The next call of {} fails with {errno}.{}",
                who(owner, "a process"),
                comm(owner, "the process"),
                loss(&end.snapshot),
            ),
        )
    }))
}

/// By how many hops the way of the RST differs from that of the peer's segments; none when it does not, or nobody
/// knows. The kernel's own RST may begin with another time to live than those of a program that has set one.
fn hops_apart(end: &Snapshot) -> Option<u8> {
    let past = &end.past;
    if past.ttl == 0 || past.reset_ttl == 0 || past.marks & TTL_VARIES != 0 {
        return None;
    }
    let apart = hops(past.ttl).abs_diff(hops(past.reset_ttl));
    (apart != 0).then_some(apart)
}

/// How many hops a packet has come.
fn hops(ttl: u8) -> u8 {
    INITIAL.into_iter().find(|initial| ttl <= *initial).map_or(0, |initial| initial - ttl)
}
