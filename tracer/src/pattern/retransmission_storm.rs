//! P40: much of what this end sends is lost on the way.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{advise, owner, spoken, who},
};
use crate::{
    finding::{Fact, Severity},
    time::nanoseconds,
};
use std::time::Duration;

/// How much is too much.
pub(super) static SHARE: Setting = Setting {
    key: "retransmission_storm.share",
    default: Value::Share(0.05),
    meaning: "the share of segments that have to be sent again",
};
/// Below that nothing is judged.
pub(super) static SEGMENTS: Setting = Setting {
    key: "retransmission_storm.segments",
    default: Value::Count(100),
    meaning: "how many segments have to be sent before their loss is judged",
};
/// For how long segments are counted.
pub(super) static OVER: Setting = Setting {
    key: "retransmission_storm.over",
    default: Value::Time(Duration::from_secs(10)),
    meaning: "for how long segments are counted",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "retransmission_storm",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Lossy)],
    supersedes: &[],
    settings: &[&SHARE, &SEGMENTS, &OVER],
    errnos: &[],
    needs: &["retransmit"],
    text: Text {
        en: Words {
            title: "much of what is sent is lost",
            seen: "\
A connection that lives has sent more than one segment in twenty again, over ten seconds and a hundred segments. \
Segments that the peer got twice (DSACK) are not counted: those were late, not lost.",
            means: "\
The path loses segments: a cable, a duplex mismatch, a full queue, a policer, a radio link. The connection becomes \
slow long before it fails; what it loses is throughput and patience, not data. No errno comes of it.",
            advice: "\
See whether other destinations lose as much: if so it is this host's link or its queue (`ip -s link`, `tc -s qdisc`), \
else the path or the other host.",
            confirm: "ss -tin dst ADDRESS",
        },
        zh: Words {
            title: "发送的数据大量丢失",
            seen: "\
一个活着的连接在十秒、一百个报文段的范围内,超过二十分之一的报文段被重传。对方收到两次的(DSACK)不计入:它们是迟到,不是丢失。",
            means: "\
路径在丢包:网线、双工不匹配、队列满、限速器、无线链路。连接在失败之前很久就会变慢;损失的是吞吐量和耐心,不是数据。不会产生 errno。",
            advice: "看其他目的地是否同样丢包:如果是,问题在本机链路或队列(`ip -s link`、`tc -s qdisc`),否则在路径或对方主机。",
            confirm: "ss -tin dst ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "one segment in ten is sent again",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                12000ms  c retransmit lossy over=11000ms of=1000 again=100
            ",
            expect: &[
                "retransmission_storm warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "it is silence, not loss: three timeouts in a row",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                12000ms  c retransmit lossy over=11000ms of=100 again=6 retransmits=5 unacked=100
            ",
            expect: &[],
        },
        Scenario {
            name: "an ICMP error says why: that is told instead",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                12000ms  c retransmit soft=EHOSTUNREACH lossy over=11000ms of=100 again=16
            ",
            expect: &["soft_error warning local=curl[42]"],
        },
        Scenario {
            name: "a segment is sent again now and then",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                12000ms  c retransmit of=1000 again=3
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it: what is counted is counted in the kernel, but it is marked",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                1ms      c SYN_SENT>ESTABLISHED
                11999ms  lost 1
                12000ms  c retransmit lossy over=11000ms of=1000 again=100
            ",
            expect: &["retransmission_storm warning local=curl[42] missing=ring_full"],
        },
    ],
};

/// So many timeouts in a row come from a peer that answers nothing.
const SILENCE: u8 = 3;

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Lossy, _), Some(end)) = (*view.occasion, view.end) else { return Verdict::No };
    let Some(resent) = end.resent.filter(|resent| resent.sent > 0) else { return Verdict::No };
    if end.snapshot.socket.retransmits >= SILENCE || end.snapshot.soft_errno().is_some() {
        return Verdict::No;
    }
    let percent = f64::from(resent.again) * 100.0 / f64::from(resent.sent);
    let here = match end.snapshot.send_errno() {
        Some(errno) => {
            format!("The last one did not leave this host ({errno}): look at its own queue and rules first.")
        }
        None => String::new(),
    };
    Verdict::Found(Box::new(Found {
        advice: advise(&PATTERN, &here),
        facts: vec![
            ("sent_segments", Fact::Count(resent.sent.into())),
            ("resent_segments", Fact::Count(resent.again.into())),
            ("over_ns", Fact::Count(nanoseconds(resent.over))),
            ("rtt_us", Fact::Count(u64::from(end.snapshot.socket.srtt >> 3))),
        ],
        ..Found::of(
            &PATTERN,
            0.8,
            format!(
                "{percent:.0} % of the segments that {} sent to {} had to be sent again: {} of {} in {}.",
                who(owner(view), "a process"),
                end.tuple().remote_address(),
                resent.again,
                resent.sent,
                spoken(resent.over),
            ),
        )
    }))
}
