//! P37: an idle peer did not answer keepalive probes.

use super::{
    Found, Moment, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    timeout::{self, Timeout},
    words::{advise, comm, owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "keepalive_timeout",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ETIMEDOUT"],
    needs: &[],
    text: Text {
        en: Words {
            title: "idle peer silent, keepalive gave up",
            seen: "\
The connection was idle, the kernel sent keepalive probes, and none was answered. The next call fails with ETIMEDOUT; \
the kernel sends a RST into the silence.",
            means: "\
The other host is gone, or something between forgot the connection: firewalls and load balancers drop idle flows \
after a round time such as 300, 350 or 900 s. Keepalive has done its work; without it the connection would have \
stayed open for ever. Keepalive runs only while nothing is in flight; by default the first probe goes out \
after two hours of silence, and eight more follow 75 s apart.",
            advice: "\
If the host is alive, compare how long the connection was idle with the idle limits on the way, and send keepalives \
more often than that.",
            confirm: "ss -tno dst ADDRESS; sysctl net.ipv4.tcp_keepalive_time",
        },
        zh: Words {
            title: "空闲的对方沉默,keepalive 放弃",
            seen: "连接空闲,内核发送 keepalive 探测而无一得到应答。下一次调用返回 ETIMEDOUT;内核向沉默的对方发送 RST。",
            means: "\
对方主机已消失,或中间设备忘记了连接:防火墙和负载均衡会在 300、350、900 秒之类的整数时间后丢弃空闲流。keepalive 尽了职责;没有它,连接会永远打开。只有在没有数据在途时 keepalive 才运行;默认沉默两小时后发出第一个探测,之后每 75 秒一个,再发八个。",
            advice: "如果主机还活着,把空闲时间与路径上的空闲上限作比较,并让 keepalive 更频繁。",
            confirm: "ss -tno dst ADDRESS; sysctl net.ipv4.tcp_keepalive_time",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the probes are not answered",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                2999ms c reset-sent reason=TCP_KEEPALIVE_TIMEOUT keepalive probes=2
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT keepalive probes=2 silent=3000
            ",
            expect: &[
                "keepalive_timeout warning ETIMEDOUT local=psql[42] peer=none reason=TCP_KEEPALIVE_TIMEOUT also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "data was in flight: retransmissions, not keepalive",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                1ms    c SYN_SENT>ESTABLISHED
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT keepalive retransmits=3 unacked=5
            ",
            expect: &["retransmission_timeout warning local=psql[42]"],
        },
        Scenario {
            name: "the probe is answered by a RST: the peer has forgotten",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                1ms    c SYN_SENT>ESTABLISHED
                3000ms c reset-received keepalive probes=1
                3000ms c ESTABLISHED>CLOSE err=ECONNRESET keepalive probes=1
            ",
            expect: &["peer_lost_state warning ECONNRESET local=psql[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                1ms    c SYN_SENT>ESTABLISHED
                2995ms lost 1
                3000ms c ESTABLISHED>CLOSE err=ETIMEDOUT keepalive probes=2
            ",
            expect: &["keepalive_timeout warning local=psql[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Some((Timeout::Keepalive, errno)), Some(end)) = (timeout::of(view), view.end) else {
        return Verdict::No;
    };
    let (at, owner) = (&end.snapshot, owner(view));
    let silence = at.silence(view.host.hz);
    let silent = silence.map_or(String::new(), |silence| format!(" in {}", spoken(silence)));
    let here =
        silence.map_or(String::new(), |silence| format!("Nothing had come for {} here.", spoken(silence)));
    let mut facts = vec![("probes", Fact::Count(at.socket.probes.into()))];
    facts.extend(silence.map(|silence| ("silent_ns", Fact::Count(nanoseconds(silence)))));
    if at.socket.user_timeout != 0 {
        facts.push(("user_timeout_ms", Fact::Count(at.socket.user_timeout.into())));
    }
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts,
        advice: advise(&PATTERN, &here),
        ..Found::of(
            &PATTERN,
            0.99,
            format!(
                "{} answered none of {} keepalive probes of {}{silent}. The next call of {} fails with {errno}.",
                end.tuple().remote_address(),
                at.socket.probes,
                who(owner, "a process"),
                comm(owner, "the process"),
            ),
        )
    }))
}
