//! P32: data was sent, and the peer acknowledged nothing for as long as the kernel tries.

use super::{
    Found, Moment, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{advise, bytes, comm, owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "retransmission_timeout",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    needs: &[],
    text: Text {
        en: Words {
            title: "peer silent, retransmissions given up",
            seen: "\
Data was sent and retransmitted, and nothing was acknowledged until the kernel gave up: by default after 15 to 16 \
minutes (tcp_retries2). The next call fails with ETIMEDOUT, or with the errno of an ICMP error that had come. No RST \
is sent.",
            means: "\
The other host, or the way to it, died while data was in flight. Had nothing been in flight, nobody would have \
noticed: an idle connection to a dead host stays open for ever. What was not acknowledged is lost.",
            advice: "\
Look at the other host and at the way to it. If a quarter of an hour is too long, set TCP_USER_TIMEOUT, to 30 s say.",
            confirm: "ss -tnoi dst ADDRESS; nstat -az TcpExtTCPAbortOnTimeout",
        },
        zh: Words {
            title: "对方沉默,放弃重传",
            seen: "\
数据已发送并重传,直到内核放弃都没有任何确认:默认 15 到 16 分钟(tcp_retries2)。下一次调用返回 ETIMEDOUT,或之前收到的 ICMP 错误的 errno。不会发送 RST。",
            means: "\
对方主机或路径在数据传输途中失效。如果当时没有数据在途,没有人会发现:通往已死主机的空闲连接会永远打开。未确认的数据丢失。",
            advice: "检查对方主机和路径。如果一刻钟太长,设置 TCP_USER_TIMEOUT,例如 30 秒。",
            confirm: "ss -tnoi dst ADDRESS; nstat -az TcpExtTCPAbortOnTimeout",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the peer vanishes with data in flight",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                6000ms c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=4 unacked=1000 silent=6000
            ",
            expect: &[
                "retransmission_timeout warning ETIMEDOUT local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "its record was lost, and the program comes upon it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                6000ms c recv ETIMEDOUT closed owned retransmits=4 unacked=1000
                6900ms c recv ETIMEDOUT closed owned
            ",
            expect: &[
                "retransmission_timeout warning ETIMEDOUT local=curl[42] peer=none missing=state_change",
            ],
        },
        Scenario {
            name: "an ICMP error had come",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                6000ms c ESTABLISHED>CLOSE err=EHOSTUNREACH retransmits=4 unacked=1000
            ",
            expect: &["retransmission_timeout warning EHOSTUNREACH local=curl[42]"],
        },
        Scenario {
            name: "an orphan: nobody is told, its close is stuck",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                6000ms c FIN_WAIT1>CLOSE err=ETIMEDOUT retransmits=4 unacked=1000 dead
            ",
            expect: &["stuck_closing warning errno=none local=curl[42]"],
        },
        Scenario {
            name: "a RST ended the silence",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                6000ms c reset-received retransmits=4 unacked=1000
                6000ms c ESTABLISHED>CLOSE err=ECONNRESET retransmits=4 unacked=1000
            ",
            expect: &["peer_lost_state warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                5995ms lost 1
                6000ms c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=4 unacked=1000
            ",
            expect: &["retransmission_timeout warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Some((Timeout::Retransmission, errno)), Some(end)) = (timeout::of(view), view.end) else {
        return Verdict::No;
    };
    let (at, owner) = (&end.snapshot, owner(view));
    let silence = at.silence(view.host.hz);
    let silent = silence.map_or(String::new(), |silence| format!(" for {}", spoken(silence)));
    let here = silence.map_or(String::new(), |silence| format!("It took {} here.", spoken(silence)));
    let mut facts = vec![
        ("retransmits", Fact::Count(at.socket.retransmits.into())),
        ("unacked_bytes", Fact::Count(at.unacked().into())),
        ("unsent_bytes", Fact::Count(at.unsent().into())),
    ];
    facts.extend(silence.map(|silence| ("silent_ns", Fact::Count(nanoseconds(silence)))));
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        advice: advise(&PATTERN, &here),
        ..Found::of(
            &PATTERN,
            0.97,
            format!(
                "{} acknowledged nothing of what {} had sent{silent}; the kernel gave up after {} retransmissions. {} \
                 are lost, and the next call of {} fails with {errno}.{}",
                end.tuple().remote_address(),
                who(owner, "a process"),
                at.socket.retransmits,
                bytes(at.undelivered()),
                comm(owner, "the process"),
                timeout::icmp_before(errno),
            ),
        )
    }))
}
