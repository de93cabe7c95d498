//! P38: nothing has come for long, and nothing would tell if the peer were gone.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};
use std::time::Duration;
use tracer_common::{State, record::socket::KEEPALIVE};

/// How long silence is nothing special.
pub(super) static AFTER: Setting = Setting {
    key: "half_open_suspect.after",
    default: Value::Time(Duration::from_hours(1)),
    meaning: "how long an open connection without keepalive may be silent before it is suspected",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "half_open_suspect",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::Idle)],
    supersedes: &[],
    settings: &[&AFTER],
    errnos: &[],
    needs: &["quiet"],
    text: Text {
        en: Words {
            title: "long silent, and nothing would notice its end",
            seen: "\
A connection is open, nothing has come from the peer for long, nothing of this end's is waiting for an answer, and \
SO_KEEPALIVE is off.",
            means: "\
The peer may be idle, or gone: a host that lost power, a cable, a NAT or firewall that has forgotten the flow tell \
nothing, and the kernel does not ask without being told to. Which it is cannot be seen from here; only a write or a \
probe would show. This is a hint, not a diagnosis.",
            advice: "\
Turn on SO_KEEPALIVE with TCP_KEEPIDLE below the idle limit of what lies between, or send heartbeats.",
            confirm: "ss -tnoi dst ADDRESS",
        },
        zh: Words {
            title: "长久沉默,且无从发现其终结",
            seen: "连接是打开的,对方很久没有发来任何东西,本端也没有等待应答的数据,而且 SO_KEEPALIVE 是关闭的。",
            means: "\
对方可能只是空闲,也可能已经消失:断电的主机、断开的线缆、忘记了这条流的 NAT 或防火墙都不会通知,内核未经要求也不会询问。从这里看不出是哪一种;只有写入或探测才能知道。这是提示,不是诊断。",
            advice: "打开 SO_KEEPALIVE 并使 TCP_KEEPIDLE 小于中间设备的空闲时限,或发送心跳。",
            confirm: "ss -tnoi dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "silent for two hours",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                0ms        c SYN_SENT>ESTABLISHED
                7200000ms  c sample ESTABLISHED silent=7199000
            ",
            expect: &[
                "half_open_suspect info errno=none local=psql[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "keepalive would notice",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                7200000ms  c sample ESTABLISHED silent=7199000 keepalive
            ",
            expect: &[],
        },
        Scenario {
            name: "something came within the hour",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                7200000ms  c sample ESTABLISHED silent=3000000
            ",
            expect: &[],
        },
        Scenario {
            name: "something is under way: the kernel will know by itself",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                7200000ms  c sample ESTABLISHED silent=7199000 unacked=10
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out psql[42]
                7200000ms  lost 1
                7200000ms  c sample ESTABLISHED silent=7199000
            ",
            expect: &["half_open_suspect info local=psql[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Idle, _), Some(end)) = (*view.occasion, view.end) else { return Verdict::No };
    let at = &end.snapshot;
    let watched = at.socket.flags & KEEPALIVE != 0 || at.socket.user_timeout != 0 && at.undelivered() > 0;
    let Some(silence) = at.silence(view.host.hz) else { return Verdict::No };
    if at.state != State::Established || watched || at.undelivered() > 0 || silence < view.host.time(&AFTER) {
        return Verdict::No;
    }
    Verdict::Found(Box::new(Found {
        facts: vec![("silence_ns", Fact::Count(nanoseconds(silence)))],
        ..Found::of(
            &PATTERN,
            0.3,
            format!(
                "Nothing has come from {} to {} for {}, and SO_KEEPALIVE is off: whether the other end is still \
                 there cannot be seen.",
                end.tuple().remote_address(),
                who(owner(view), "a process"),
                spoken(silence),
            ),
        )
    }))
}
