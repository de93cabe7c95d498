//! P33: the program's own limit for unacknowledged data passed.

use super::{
    Found, Moment, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{advise, bytes, comm, owner, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "user_timeout",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    needs: &[],
    text: Text {
        en: Words {
            title: "peer silent, TCP_USER_TIMEOUT passed",
            seen: "\
Data stayed unacknowledged for as long as the program had allowed with TCP_USER_TIMEOUT. The next call fails with \
ETIMEDOUT; no RST is sent.",
            means: "\
The limit is the program's or a library's (gRPC sets it from its keepalive timeout), not the kernel's default of a \
quarter of an hour. The peer, or the way to it, was silent for that long; a limit close to the round-trip time under \
load kills connections that live.",
            advice: "Look at the other host and the way to it; compare the limit with how long it may be silent.",
            confirm: "ss -tnoi dst ADDRESS",
        },
        zh: Words {
            title: "对方沉默,TCP_USER_TIMEOUT 到期",
            seen: "数据未被确认的时间达到了程序用 TCP_USER_TIMEOUT 允许的上限。下一次调用返回 ETIMEDOUT;不会发送 RST。",
            means: "\
这个上限由程序或库设置(gRPC 用它的 keepalive 超时),不是内核默认的一刻钟。对方或路径沉默了这么久;上限若接近负载下的往返时延,会杀死活着的连接。",
            advice: "检查对方主机和路径;把该上限与可以容忍的沉默时间作比较。",
            confirm: "ss -tnoi dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a second without an acknowledgement",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out grpc[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                1400ms c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=2 unacked=1000 user_timeout=1000 silent=1300
            ",
            expect: &["user_timeout warning ETIMEDOUT local=grpc[42] peer=none reason=none also= count=1 signal=none complete"],
        },
        Scenario {
            name: "without the option: the kernel's limit",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out grpc[42]
                1ms    c SYN_SENT>ESTABLISHED
                1400ms c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=2 unacked=1000
            ",
            expect: &["retransmission_timeout warning local=grpc[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out grpc[42]
                1ms    c SYN_SENT>ESTABLISHED
                1395ms lost 1
                1400ms c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=2 unacked=1000 user_timeout=1000
            ",
            expect: &["user_timeout warning local=grpc[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Some((Timeout::User, errno)), Some(end)) = (timeout::of(view), view.end) else { return Verdict::No };
    let (at, owner) = (&end.snapshot, owner(view));
    let mut facts = vec![
        ("user_timeout_ms", Fact::Count(at.socket.user_timeout.into())),
        ("retransmits", Fact::Count(at.socket.retransmits.into())),
        ("unacked_bytes", Fact::Count(at.unacked().into())),
    ];
    facts.extend(at.silence(view.host.hz).map(|silence| ("silent_ns", Fact::Count(nanoseconds(silence)))));
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        advice: advise(&PATTERN, &format!("The limit is {} ms here.", at.socket.user_timeout)),
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{} acknowledged nothing of what {} had sent within its TCP_USER_TIMEOUT of {} ms. {} are lost, and the \
                 next call of {} fails with {errno}.{}",
                end.tuple().remote_address(),
                who(owner, "a process"),
                at.socket.user_timeout,
                bytes(at.undelivered()),
                comm(owner, "the process"),
                timeout::icmp_before(errno),
            ),
        )
    }))
}
