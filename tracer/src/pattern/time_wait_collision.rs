//! P23: a SYN met what the other host still remembers of an older connection from the same port.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};
use std::time::Duration;
use tracer_common::record::reset_sent::Segment;

/// Flags of a TCP header, RFC 9293: FIN, SYN, RST and ACK.
const FLAGS: u8 = 0x17;
const ACK: u8 = 0x10;
/// The SYN is sent again a few milliseconds after the RST; a connection that takes longer is another story.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

pub(super) static PATTERN: Pattern = Pattern {
    id: "time_wait_collision",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::ResetSent)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "SYN met a connection that was not forgotten",
            seen: "\
A connecting socket got an ACK that does not fit its SYN, answered it by a RST, sent its SYN again at once and was \
connected. The program sees nothing but a connect() that took some milliseconds and a round trip longer.",
            means: "\
The other host still remembers an older connection with the same addresses and ports, as a rule in TIME_WAIT, where \
it stays for a minute. It takes a SYN with a higher sequence number or a newer timestamp as a new connection at once; \
any other it answers by an ACK, and the RST that follows makes it forget (unless net.ipv4.tcp_rfc1337 is set). It \
happens where ports are used again soon and timestamps are off or come from several hosts behind one address (NAT). \
From this end alone an open connection that has lost its other end looks the same: its process gets ECONNRESET \
(`stale_connection_killed` at that end).",
            advice: "\
Nothing, when it is rare. Otherwise keep timestamps on (net.ipv4.tcp_timestamps=1), let the client close first so that \
TIME_WAIT is at its own end, use connections longer, or give the client a wider range of ports.",
            confirm: "ss -tan state time-wait 'sport = :PORT' (on the other host)",
        },
        zh: Words {
            title: "SYN 遇到了尚未被忘记的连接",
            seen: "\
正在连接的套接字收到一个与其 SYN 不符的 ACK,以 RST 回答,随即重发 SYN 并连接成功。程序只看到 connect() 多用了几毫秒和一个往返时间。",
            means: "\
对方主机仍记得一个地址和端口相同的旧连接,通常处于 TIME_WAIT,会保留一分钟。序列号更高或时间戳更新的 SYN 会立即被当作新连接;其他的 SYN 得到 ACK 回答,随后的 RST 使它忘记旧连接(除非设置了 net.ipv4.tcp_rfc1337)。常见于端口很快被重用,而时间戳被关闭,或来自同一地址后面的多台主机(NAT)。仅从这一端看,失去了另一端的打开连接也是这个样子:它的进程会得到 ECONNRESET(在那一端是 `stale_connection_killed`)。",
            advice: "\
偶尔出现时无需处理。否则保持时间戳开启(net.ipv4.tcp_timestamps=1),让客户端先关闭以使 TIME_WAIT 留在它自己一端,延长连接的使用时间,或扩大客户端的端口范围。",
            confirm: "ss -tan state time-wait 'sport = :PORT' (在对方主机上)",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the server's host remembers, and is not this one",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                12ms    c SYN_SENT>ESTABLISHED resent=1
            ",
            expect: &["time_wait_collision info errno=none local=curl[42] peer=none complete"],
        },
        Scenario {
            name: "its listener is here, and no open connection was killed",
            trace: "
                l = 127.0.0.1:8080 > 0.0.0.0:0 in nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms     l CLOSE>LISTEN owned
                100ms   c CLOSE>SYN_SENT owned
                100.1ms c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                112ms   c SYN_SENT>ESTABLISHED resent=1
            ",
            expect: &["time_wait_collision info errno=none local=curl[42] peer=none"],
        },
        Scenario {
            name: "an open connection here was killed by it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                c = swap s out curl[43]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   c CLOSE>SYN_SENT owned
                5000.1ms s refuses answers=S:0
                5000.2ms c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                5000.3ms s reset-received
                5000.4ms s ESTABLISHED>CLOSE err=ECONNRESET
                5011ms   c SYN_SENT>ESTABLISHED resent=1
            ",
            expect: &["stale_connection_killed warning ECONNRESET local=nginx[17] peer=curl[43]"],
        },
        Scenario {
            name: "a stray ACK: the first SYN was answered all the same",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                2ms     c SYN_SENT>ESTABLISHED
            ",
            expect: &[],
        },
        Scenario {
            name: "a SYN-ACK that does not fit",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=SA:0
                12ms    c SYN_SENT>ESTABLISHED resent=1
            ",
            expect: &[],
        },
        Scenario {
            name: "nothing listens there any more",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                12ms    c reset-received
                12.1ms  c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "it is never connected",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                9000ms  c SYN_SENT>ESTABLISHED resent=3
            ",
            expect: &[],
        },
        Scenario {
            name: "the connection fails later: what it refused before has no part in that",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                12ms    c SYN_SENT>ESTABLISHED resent=1
                4000ms  c reset-received unacked=7 retransmits=3
                4000ms  c ESTABLISHED>CLOSE err=ECONNRESET unacked=7 retransmits=3
            ",
            expect: &[
                "time_wait_collision info local=curl[42]",
                "peer_lost_state warning ECONNRESET local=curl[42]",
            ],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 127.0.0.1:8080 > 0.0.0.0:0 in nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms     l CLOSE>LISTEN owned
                100ms   c CLOSE>SYN_SENT owned
                100.1ms c reset-connecting reason=TCP_INVALID_ACK_SEQUENCE answers=A:0
                112ms   c SYN_SENT>ESTABLISHED resent=1
                113ms   lost 1
            ",
            expect: &["time_wait_collision info local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::ResetSent, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((_, answered)) = end.reset_connecting() else { return Verdict::No };
    if !is_bare_ack(&answered) || end.failed.is_some() {
        return Verdict::No;
    }
    let met = view.peer.is_some_and(|peer| {
        peer.refused_syn.is_some() || peer.reset_received.is_some() || peer.failed.is_some()
    });
    if met {
        return Verdict::No; // the old connection is here, and was open: `stale_connection_killed`
    }
    let Some(connected) = end.connected.filter(|connected| connected.since(at) <= CONNECTS_WITHIN) else {
        return if view.last { Verdict::No } else { Verdict::WaitUntil(at + CONNECTS_WITHIN) };
    };
    if end.snapshot.socket.total_retrans == 0 {
        return Verdict::No; // its first SYN was answered: the ACK was a stray one
    }
    let told = at + view.host.time(&super::HOLD);
    if view.now < told && !view.last {
        return Verdict::WaitUntil(told); // for what the old connection tells, if it is here
    }
    // An open connection of a host that is seen would have told of the SYN and of its end.
    let visible = view.service.is_some() && !view.lost;
    let (remembers, confidence) =
        if visible { ("in TIME_WAIT", 0.9) } else { ("as a rule in TIME_WAIT", 0.6) };
    let took = connected.since(at);
    Verdict::Found(Box::new(Found {
        facts: vec![
            ("connected_after_ns", Fact::Count(nanoseconds(took))),
            ("syns_sent_again", Fact::Count(end.snapshot.socket.total_retrans.into())),
            ("other_end_seen", Fact::Flag(visible)),
        ],
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "The SYN of {} met an older connection from its port that the host of {} had not forgotten \
                 ({remembers}): it was answered by an ACK, the ACK by a RST, and the SYN that was sent again \
                 connected {} later.",
                who(owner(view), "a process"),
                end.tuple().remote_address(),
                spoken(took),
            ),
        )
    }))
}

/// An ACK with nothing else: what TIME_WAIT, and an open connection, answer a SYN with.
fn is_bare_ack(segment: &Segment) -> bool {
    segment.tcp_flags & FLAGS == ACK && segment.payload == 0
}
