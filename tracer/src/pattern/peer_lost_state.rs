//! P17: the other host does not know the connection any more.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, loss, owner, who},
};
use crate::{
    event::Presence,
    finding::{Fact, Severity},
};
use tracer_common::{State, record::socket::KEEPALIVE};

pub(super) static PATTERN: Pattern = Pattern {
    id: "peer_lost_state",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNRESET"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "peer has forgotten the connection",
            seen: "\
This end sent a segment, and the other host answered with a RST because it knows no such connection. The next call \
fails with ECONNRESET.",
            means: "\
The host was rebooted, its container was replaced, or a load balancer or NAT sent the segment elsewhere. The RST \
comes only when this end sends: an idle client learns nothing. Where the segment was a retransmission the host was \
silent before, as during a reboot; where it was a keepalive probe the connection was idle.",
            advice: "\
Connect again and repeat what may be repeated. See what restarted or moved at this time. Against forgetful devices \
on the way, send keepalives more often than they forget.",
            confirm: "nstat -az TcpEstabResets; uptime (on the other host)",
        },
        zh: Words {
            title: "对方已忘记该连接",
            seen: "这一端发送了报文段,对方主机因为不认识这个连接而回答 RST。下一次调用返回 ECONNRESET。",
            means: "\
对方主机重启过、容器被替换,或者负载均衡、NAT 把报文段送到了别处。只有这一端发送时才会收到 RST:空闲的客户端一无所知。如果该报文段是重传,说明对方此前沉默(如重启期间);如果是 keepalive 探测,说明连接空闲。",
            advice: "重新连接并重复可以重复的请求。查看此时有什么重启或迁移。对付会忘记连接的中间设备,让 keepalive 比它们忘记的时间更频繁。",
            confirm: "nstat -az TcpEstabResets; uptime (在对方主机上)",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the other host is this one: its kernel says so",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                100ms    c loose reason=NO_SOCKET answers=PA:7
                100.01ms c reset-received unacked=7
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=7
            ",
            expect: &[
                "peer_lost_state warning ECONNRESET local=curl[42] peer=none reason=NO_SOCKET also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "its listener answers",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                100ms    c loose reason=TCP_FLAGS answers=PA:7
                100.01ms c reset-received unacked=7
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=7
            ",
            expect: &["peer_lost_state warning local=curl[42] reason=TCP_FLAGS"],
        },
        Scenario {
            name: "after retransmissions into silence",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                9000ms   c reset-received unacked=7 retransmits=5
                9000ms   c ESTABLISHED>CLOSE err=ECONNRESET unacked=7 retransmits=5
            ",
            expect: &["peer_lost_state warning local=curl[42]"],
        },
        Scenario {
            name: "a plain RST: nobody can tell",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                9000ms   c reset-received unacked=7
                9000ms   c ESTABLISHED>CLOSE err=ECONNRESET unacked=7
            ",
            expect: &["connection_reset warning local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms      c SYN_SENT>ESTABLISHED
                9000ms   c reset-received unacked=7 retransmits=5
                9000ms   c ESTABLISHED>CLOSE err=ECONNRESET unacked=7 retransmits=5
                9001ms   lost 1
            ",
            expect: &["peer_lost_state warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { old, errno, .. }, Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((_, before)) = end.reset_received else { return Verdict::No };
    if !matches!(old, State::Established | State::FinWait1 | State::FinWait2)
        || before.queued()
        || before.dead()
    {
        return Verdict::No;
    }
    if view.peer.is_some_and(|peer| peer.reset_sent.is_some()) || end.reset_sent.is_some() {
        return Verdict::No; // a socket sent it
    }
    if view.peer_looked == Some(Presence::In(State::Established)) {
        return Verdict::No; // it is there, and has forgotten nothing
    }
    let answered = view.loose.filter(|loose| !loose.of_syn());
    let own = &before.socket;
    let probed = own.flags & KEEPALIVE != 0 && own.probes > 0 && before.unacked() == 0;
    let (how, confidence) = if answered.is_some() {
        ("its kernel has no such connection", 0.95)
    } else if !view.last {
        return Verdict::Wait; // for the RST's own record, if it was sent here
    } else if probed {
        ("it answered a keepalive probe with a RST", 0.9)
    } else if own.retransmits > 0 {
        ("it was silent before, and then answered a retransmission with a RST", 0.8)
    } else {
        return Verdict::No;
    };
    let owner = owner(view);
    let told_loss = loss(&end.snapshot);
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("retransmits", Fact::Count(own.retransmits.into())),
            ("probes", Fact::Count(own.probes.into())),
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
        ],
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "{} has forgotten its connection to {}: {how}. The next call of {} fails with {errno}.{told_loss}",
                end.tuple().remote_address(),
                who(owner, "a process"),
                comm(owner, "the process"),
            ),
        )
    }))
}
