//! P18: a new connection from the same port ends an old one that its other end has forgotten.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, loss, owner, peer_owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::{State, record::socket};

/// A RST that the SYN's sender answers with comes a round trip after the SYN: two of them, but at least and at most
/// this long.
const SOONEST: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(3);

pub(super) static PATTERN: Pattern = Pattern {
    id: "stale_connection_killed",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &["connection_reset", "peer_lost_state", "fin_wait2_write_reset"],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_received", "drop"],
    text: Text {
        en: Words {
            title: "old connection ended by a new one from its port",
            seen: "\
A SYN came for a connection that was open here. The kernel answered it by an ACK of that connection (a challenge, \
RFC 5961), and the sender of the SYN, which knows of no such connection, by a RST. The next call fails with \
ECONNRESET, or EPIPE where the peer's FIN had come before. The SYN is sent again at once and opens a new connection.",
            means: "\
The other end had lost the connection without a word: its host was rebooted, its container or address moved, or a \
NAT gave its port to somebody else. The old connection had been dead since then; only the reuse of its port has \
brought it to light. Until then this end held a descriptor and what belongs to it for nobody.",
            advice: "\
Set SO_KEEPALIVE, or TCP_USER_TIMEOUT while data is in flight, on accepted connections, so that dead ones are noticed \
before their port is used again. Look for others from the same host: they are as dead. See what restarted there.",
            confirm: "nstat -az TcpExtTCPSYNChallenge TcpExtTCPChallengeACK TcpEstabResets",
        },
        zh: Words {
            title: "旧连接被来自同一端口的新连接终结",
            seen: "\
一个 SYN 到达了本机仍打开的连接。内核以该连接的 ACK 回答(质询 ACK,RFC 5961),而 SYN 的发送者不认识这个连接,于是回答 RST。下一次调用返回 ECONNRESET;如果对方的 FIN 先到,则是 EPIPE。SYN 随即重发,并建立新连接。",
            means: "\
另一端悄无声息地丢失了连接:它的主机重启、容器或地址迁移,或者 NAT 把它的端口给了别人。旧连接从那时起就已经死了,直到端口被重新使用才暴露出来。在此之前,这一端白白占着描述符及相关资源。",
            advice: "\
在接受的连接上设置 SO_KEEPALIVE,有数据在途时用 TCP_USER_TIMEOUT,以便在端口被重用之前发现死连接。查找来自同一主机的其他连接:它们同样已死。查看那里重启了什么。",
            confirm: "nstat -az TcpExtTCPSYNChallenge TcpExtTCPChallengeACK TcpEstabResets",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the client is on this host too, and connects again from the same port",
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
            expect: &[
                "stale_connection_killed warning ECONNRESET local=nginx[17] peer=curl[43] reason=TCP_INVALID_ACK_SEQUENCE count=1 complete",
            ],
        },
        Scenario {
            name: "the host of the client is elsewhere",
            trace: "
                s = [2001:db8::2]:8080 > [2001:db8::1]:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   s refuses answers=S:0
                5040ms   s reset-received
                5040.1ms s ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["stale_connection_killed warning ECONNRESET local=nginx[17] peer=none"],
        },
        Scenario {
            name: "the server was sending to a host that was being rebooted",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   s refuses answers=S:0 unacked=9 retransmits=4
                5001ms   s reset-received unacked=9 retransmits=4
                5001.1ms s ESTABLISHED>CLOSE err=ECONNRESET unacked=9 retransmits=4
            ",
            expect: &["stale_connection_killed warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "the client had half-closed before it was rebooted",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>CLOSE_WAIT
                5000ms   s refuses answers=S:0
                5001ms   s reset-received
                5001.1ms s CLOSE_WAIT>CLOSE err=EPIPE
            ",
            expect: &["stale_connection_killed warning EPIPE local=nginx[17]"],
        },
        Scenario {
            name: "a SYN is refused, and the connection lives: the SYN was forged, or a late one",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   s refuses answers=S:0
            ",
            expect: &[],
        },
        Scenario {
            name: "a RST long after such a SYN has another cause",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                1000ms   s refuses answers=S:0
                9000ms   s reset-received
                9000.1ms s ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=nginx[17]"],
        },
        Scenario {
            name: "after such a SYN the client itself aborts: the SYN was not its own",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                c = swap s out curl[42]
                0ms      s SYN_RECV>ESTABLISHED
                1000ms   s refuses answers=S:0
                1001ms   c ESTABLISHED>CLOSE owned linger0 dead shutdown=3
                1001.1ms c reset-sent reason=TCP_STATE owned linger0 dead shutdown=3
                1001.2ms s reset-received
                1001.3ms s ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["linger_zero_abort warning ECONNRESET local=nginx[17] peer=curl[42]"],
        },
        Scenario {
            name: "the old connection was an orphan: nobody is told",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned dead
                5000ms   s refuses answers=S:0 dead
                5001ms   s reset-received dead
                5001.1ms s FIN_WAIT1>CLOSE err=ECONNRESET dead
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   s refuses answers=S:0
                5000.5ms lost 2
                5001ms   s reset-received
                5001.1ms s ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["stale_connection_killed warning local=nginx[17] missing=ring_full"],
        },
        Scenario {
            name: "the record of the SYN was lost",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5000ms   lost 1
                5001ms   s reset-received
                5001.1ms s ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { old, errno, .. }, Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some(((reset_at, before), syn_at)) = end.reset_received.zip(end.refused_syn) else {
        return Verdict::No;
    };
    let open = matches!(old, State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait);
    if !open || before.queued() || before.dead() || !answers(syn_at, reset_at, before.socket.srtt) {
        return Verdict::No;
    }
    if old != State::CloseWait && before.socket.shutdown & socket::RCV_SHUTDOWN != 0 {
        return Verdict::No; // its own kernel refuses data: `connection_reset` says how
    }
    let sender = view.peer.and_then(|peer| peer.reset_sent);
    let connecting = sender.is_some_and(|sent| sent.state == State::SynSent);
    if sender.is_some() && !connecting {
        return Verdict::No; // a socket of the old connection sent it
    }
    if !connecting && !view.last {
        return Verdict::Wait; // for the record of who sent it, if that was here
    }
    let owner = owner(view);
    let after = reset_at.since(syn_at);
    let newcomer = if connecting { peer_owner(view) } else { None };
    let told_loss = loss(&end.snapshot);
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("syn_before_reset_ns", Fact::Count(nanoseconds(after))),
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
            ("retransmits", Fact::Count(before.socket.retransmits.into())),
        ],
        ..Found::of(
            &PATTERN,
            if connecting { 0.98 } else { 0.95 },
            format!(
                "{} at {} connects anew from the port of a connection that was open at {}: a SYN came for it, and {} \
                 later the RST that ended it. The next call of {} fails with {errno}.{told_loss}",
                who(newcomer, "The host"),
                end.tuple().remote_address(),
                who(owner, "a process"),
                spoken(after),
                comm(owner, "the process"),
            ),
        )
    }))
}

/// Whether a RST may be the answer to the ACK by which a SYN was answered.
fn answers(syn: Time, reset: Time, srtt: u32) -> bool {
    // The kernel keeps it in eighths of a microsecond.
    let round_trips = Duration::from_micros(u64::from(srtt) / 8 * 2);
    syn <= reset && reset.since(syn) <= round_trips.clamp(SOONEST, LATEST)
}
