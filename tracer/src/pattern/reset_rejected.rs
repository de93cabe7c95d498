//! P25: RSTs that a connection's kernel did not believe.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    event::Drop,
    finding::{Fact, Severity},
};

static COUNT: Setting = Setting {
    key: "reset_rejected.count",
    default: Value::Count(3),
    meaning: "how many RSTs within a minute make it worth telling (16 at most)",
};
/// As many as an end keeps.
const MOST: u64 = 16;

pub(super) static PATTERN: Pattern = Pattern {
    id: "reset_rejected",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::ResetRefused)],
    supersedes: &[],
    settings: &[&COUNT],
    errnos: &[],
    needs: &["drop"],
    text: Text {
        en: Words {
            title: "RSTs that were not believed",
            seen: "\
Several RSTs came within a minute for one open connection, and none had the sequence number that is expected next. \
The kernel answers one inside the window by an ACK (a challenge, RFC 5961) and ignores one outside; the connection \
lives, and its programs notice nothing.",
            means: "\
Somebody who does not see the connection guesses its numbers to end it, or a device on the way tries to end it with \
numbers that are out of date: a firewall or load balancer that has missed part of it. A peer whose RST was meant \
would answer the challenge by a RST with the right number. A time to live that differs from the peer's says that they \
did not come from there.",
            advice: "\
Compare the RSTs' time to live with the peer's, and look at what is on the way. Against guessing encrypt at the network \
layer (IPsec), or use TCP-AO or MD5 where both ends can, as between routers.",
            confirm: "nstat -az TcpExtTCPChallengeACK TcpExtTCPACKSkippedChallenge",
        },
        zh: Words {
            title: "未被采信的 RST",
            seen: "\
一分钟内有多个 RST 到达同一个打开的连接,但没有一个带有预期的序列号。窗口之内的,内核以 ACK 回答(质询 ACK,RFC 5961);窗口之外的则被忽略。连接继续存活,程序毫无察觉。",
            means: "\
看不到该连接的人在猜测它的序列号以终结它,或者沿途设备用过时的序列号试图终结它:例如漏看了部分流量的防火墙或负载均衡。如果对方真想复位,它会用带有正确序列号的 RST 回答质询。TTL 与对方不同,说明它们不是从那里来的。",
            advice: "\
比较这些 RST 与对方报文的 TTL,查看沿途有什么。防止猜测可在网络层加密(IPsec),或在两端都支持时使用 TCP-AO 或 MD5,例如路由器之间。",
            confirm: "nstat -az TcpExtTCPChallengeACK TcpExtTCPACKSkippedChallenge",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "three within a minute, and the connection lives",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                1000ms  c refuses answers=R:0 segment_ttl=61
                2000ms  c refuses answers=R:0 outside segment_ttl=61
                30000ms c refuses answers=R:0 outside segment_ttl=61
            ",
            expect: &["reset_rejected info errno=none local=curl[42] peer=none count=1 complete"],
        },
        Scenario {
            name: "it goes on: what was told is not counted again",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                1ms     s SYN_RECV>ESTABLISHED
                1000ms  s refuses answers=R:0 outside
                1001ms  s refuses answers=R:0 outside
                1002ms  s refuses answers=R:0 outside
                20000ms s refuses answers=R:0 outside
                20001ms s refuses answers=R:0 outside
            ",
            expect: &["reset_rejected info local=nginx[17] count=1"],
        },
        Scenario {
            name: "two are none too many",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c refuses answers=R:0
                1001ms  c refuses answers=R:0
            ",
            expect: &[],
        },
        Scenario {
            name: "three, but over more than a minute",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                1000ms   c refuses answers=R:0
                40000ms  c refuses answers=R:0
                90000ms  c refuses answers=R:0
            ",
            expect: &[],
        },
        Scenario {
            name: "two, and one that ends the connection",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c refuses answers=R:0
                1001ms  c refuses answers=R:0
                1002ms  c reset-received
                1002ms  c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "three, and at once one that is believed",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED ttl=52
                1000ms  c refuses answers=R:0
                1001ms  c refuses answers=R:0
                1002ms  c refuses answers=R:0
                1003ms  c reset-received reset_ttl=61
                1003ms  c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["forged_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "SYNs are no RSTs",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                1ms     s SYN_RECV>ESTABLISHED
                1000ms  s refuses answers=S:0
                2000ms  s refuses answers=S:0
                4000ms  s refuses answers=S:0
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1000ms  c refuses answers=R:0
                1001ms  c refuses answers=R:0
                1002ms  c refuses answers=R:0
                1003ms  lost 4
            ",
            expect: &["reset_rejected info local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::ResetRefused, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let refused = &end.refused_resets;
    let enough = view.host.count(&COUNT).clamp(1, MOST);
    let count = u64::try_from(refused.len()).unwrap_or(MOST);
    if count < enough || end.failed.is_some() || end.snapshot.dead() {
        return Verdict::No;
    }
    if !view.last {
        return Verdict::Wait; // for one that is believed
    }
    let outside = refused.iter().filter(|(_, why, _)| *why == Drop::ResetOutside).count();
    let outside = u64::try_from(outside).unwrap_or(MOST);
    let peer_ttl = end.snapshot.past.ttl;
    let mut ttls: Vec<u8> = refused.iter().map(|(.., segment)| segment.ttl).filter(|ttl| *ttl != 0).collect();
    ttls.sort_unstable();
    ttls.dedup();
    let elsewhere = peer_ttl != 0 && !ttls.is_empty() && !ttls.contains(&peer_ttl);
    let list = ttls.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let from = if elsewhere {
        format!(" They came with a time to live of {list}, the peer's segments with {peer_ttl}.")
    } else {
        String::new()
    };
    let mut facts = vec![
        ("resets", Fact::Count(count)),
        ("outside_window", Fact::Count(outside)),
        ("answered_by_challenge", Fact::Count(count - outside)),
    ];
    if !list.is_empty() {
        facts.push(("reset_ttls", Fact::Text(list)));
    }
    if peer_ttl != 0 {
        facts.push(("peer_ttl", Fact::Count(peer_ttl.into())));
    }
    let first = refused.iter().map(|(at, ..)| *at).min().unwrap_or(at);
    let least = if count == MOST { "At least " } else { "" };
    Verdict::Found(Box::new(Found {
        facts,
        ..Found::of(
            &PATTERN,
            0.7,
            format!(
                "{least}{count} RSTs came within {} for the connection of {} to {} and were not believed, {outside} of \
                 them outside its window.{from} It lives.",
                spoken(view.now.since(first)),
                who(owner(view), "a process"),
                end.tuple().remote_address(),
            ),
        )
    }))
}
