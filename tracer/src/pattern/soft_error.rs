//! P35: an ICMP error came for a connection that is alive.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::{
    event::Call,
    finding::{Fact, Severity},
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "soft_error",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::SoftError), Trigger::On(Moment::Called)],
    supersedes: &[],
    settings: &[],
    errnos: &["EHOSTUNREACH", "ENETUNREACH"],
    needs: &["retransmit"],
    text: Text {
        en: Words {
            title: "ICMP error on a live connection",
            seen: "\
A router says that the other host cannot be reached, and the connection is alive: Linux keeps the error aside and \
goes on retransmitting. Calls do not fail of it. SO_ERROR reads it, once, although nothing has failed.",
            means: "\
The path is broken just now. If it comes back in time, nothing is lost; if not, the connection ends with this errno \
instead of ETIMEDOUT. While the ICMP errors come, Linux takes back its backoff (RFC 6069) and retransmits every \
round-trip timeout. An event loop that asks SO_ERROR on a live connection and closes when it is not 0 kills it \
without need.",
            advice: "\
Look at the path. If the program closed after reading SO_ERROR, let it ask only after poll() has said POLLERR or \
connect() was in progress.",
            confirm: "ss -tni dst ADDRESS; nstat -az IcmpInDestUnreachs",
        },
        zh: Words {
            title: "存活的连接收到 ICMP 错误",
            seen: "\
路由器说对方主机不可达,而连接仍然存活:Linux 只记下这个错误并继续重传。调用不会因此失败。SO_ERROR 能读到它一次,尽管什么都没有失败。",
            means: "\
路径此刻中断。若及时恢复,什么也不会丢;若不恢复,连接以这个 errno 而不是 ETIMEDOUT 结束。ICMP 错误不断到来时,Linux 收回退避(RFC 6069),每个重传超时都重传一次。在存活的连接上读取 SO_ERROR 并在非 0 时关闭的事件循环,会无谓地杀死连接。",
            advice: "查看路径。如果程序在读取 SO_ERROR 后关闭了连接,让它只在 poll() 报 POLLERR 之后或 connect() 进行中才读取。",
            confirm: "ss -tni dst ADDRESS; nstat -az IcmpInDestUnreachs",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a router answers data with host unreachable",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c SYN_SENT>ESTABLISHED
                400ms  c retransmit soft=EHOSTUNREACH unacked=10
            ",
            expect: &[
                "soft_error warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the program reads it by SO_ERROR",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c SYN_SENT>ESTABLISHED
                400ms  c fails EHOSTUNREACH call=so_error fd=5
            ",
            expect: &["soft_error warning EHOSTUNREACH local=curl[42] fd=5"],
        },
        Scenario {
            name: "data is sent again, and no router has said anything",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c SYN_SENT>ESTABLISHED
                400ms  c retransmit unacked=10
            ",
            expect: &[],
        },
        Scenario {
            name: "the connection is dead: its own pattern tells",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c SYN_SENT>ESTABLISHED
                60000ms  c ESTABLISHED>CLOSE err=EHOSTUNREACH soft=EHOSTUNREACH retransmits=9 unacked=10
                60001ms  c fails EHOSTUNREACH call=so_error fd=5
            ",
            expect: &["retransmission_timeout warning EHOSTUNREACH local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c SYN_SENT>ESTABLISHED
                400ms  lost 1
                400ms  c retransmit soft=ENETUNREACH unacked=10
            ",
            expect: &["soft_error warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let read = match *view.occasion {
        Occasion::On(Moment::SoftError, _) => None,
        Occasion::On(Moment::Called, _) => match end.called.as_deref() {
            Some((called, _)) if called.call == Call::TakeError && end.snapshot.state != State::Close => {
                Some(called.errno)
            }
            _ => return Verdict::No,
        },
        _ => return Verdict::No,
    };
    let Some(errno) = read.or(end.snapshot.soft_errno()) else { return Verdict::No };
    let process = who(owner(view), "a process");
    let then = match read {
        None => format!(
            "It is alive and goes on retransmitting; if the path does not come back, it ends with {errno}."
        ),
        Some(_) => format!("SO_ERROR gave {errno}, although nothing has failed: the connection is alive."),
    };
    Verdict::Found(Box::new(Found {
        errno: read,
        facts: vec![
            ("soft_errno", Fact::Text(errno.name())),
            ("retransmits", Fact::Count(end.snapshot.socket.retransmits.into())),
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
        ],
        ..Found::of(
            &PATTERN,
            if read.is_some() { 0.95 } else { 0.9 },
            format!(
                "An ICMP error came for the connection of {process} to {}. {then}",
                end.tuple().remote_address(),
            ),
        )
    }))
}
