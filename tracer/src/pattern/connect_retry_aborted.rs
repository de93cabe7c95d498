//! P52: connect() was called again on a socket whose attempt had failed and been told.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    errno::Errno,
    event::Call,
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "connect_retry_aborted",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Called)],
    supersedes: &[],
    settings: &[],
    errnos: &["ECONNABORTED"],
    needs: &["call"],
    text: Text {
        en: Words {
            title: "connect() again on a socket that had failed",
            seen: "\
A connection that was made in the background failed, the program took the error with SO_ERROR, and called connect() \
again on the same descriptor. The kernel still owes the end of the first attempt and has no error left for it, so it \
says ECONNABORTED. No SYN is sent. A third call begins anew.",
            means: "\
Nothing was aborted now, and nobody destroyed the socket: the real error is that of the first attempt, whose finding \
this one follows. A library, or a loop around one, tries again on a descriptor that is dead.",
            advice: "\
After a failed connect() close the descriptor and make a new socket. Report the error that SO_ERROR gave.",
            confirm: "strace -f -e trace=connect,getsockopt -p PID",
        },
        zh: Words {
            title: "在已失败的套接字上再次 connect():ECONNABORTED",
            seen: "\
后台进行的连接失败了,程序用 SO_ERROR 取走了错误,又在同一个描述符上调用 connect()。内核还欠着第一次尝试的结果,却已没有错误可给,于是返回 ECONNABORTED。没有发出 SYN。第三次调用才会重新开始。",
            means: "\
此刻没有什么被中止,也没有人销毁套接字:真正的错误是第一次尝试的错误,本结论跟随那一条。是某个库,或它外面的循环,在一个已死的描述符上重试。",
            advice: "connect() 失败后请关闭描述符,换一个新的套接字。报告 SO_ERROR 给出的那个错误。",
            confirm: "strace -f -e trace=connect,getsockopt -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "refused, told by SO_ERROR, and tried again at once",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c reset-received
                1ms    c SYN_SENT>CLOSE err=ECONNREFUSED
                2ms    c fails ECONNREFUSED call=so_error fd=5
                3ms    c fails ECONNABORTED call=connect fd=5
            ",
            expect: &[
                "connection_refused warning ECONNREFUSED",
                "connect_retry_aborted warning ECONNABORTED local=curl[42] fd=5 peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "timed out, and tried again later",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                3000ms  c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1
                3001ms  c fails ETIMEDOUT call=so_error fd=5
                8000ms  c fails ECONNABORTED call=connect fd=5
            ",
            expect: &[
                "connect_timeout warning ETIMEDOUT",
                "connect_retry_aborted warning ECONNABORTED local=curl[42]",
            ],
        },
        Scenario {
            name: "an administrator destroyed it: the same errno, with a change of state",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                100.03ms c SYN_SENT>CLOSE err=ECONNABORTED owned by=ss[99]
                100.1ms  c fails ECONNABORTED call=connect fd=5
            ",
            expect: &["socket_destroyed warning ECONNABORTED local=curl[42]"],
        },
        Scenario {
            name: "the second connect() itself is told the error of the first",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c reset-received
                1ms    c SYN_SENT>CLOSE err=ECONNREFUSED
                2ms    c fails ECONNREFUSED call=connect fd=5
            ",
            expect: &["connection_refused warning ECONNREFUSED"],
        },
        Scenario {
            name: "nothing is known of a first attempt",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                3ms    c fails ECONNABORTED call=connect fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "a connection that was open and died, and connect() after that",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                100ms  c reset-received
                100ms  c ESTABLISHED>CLOSE err=ECONNRESET
                101ms  c fails ECONNRESET call=so_error fd=5
                102ms  c fails ECONNABORTED call=connect fd=5
            ",
            expect: &["connection_reset warning ECONNRESET"],
        },
        Scenario {
            name: "records were lost around it: who took the error is not known",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c reset-received
                1ms    c SYN_SENT>CLOSE err=ECONNREFUSED
                900ms  lost 2
                1000ms c fails ECONNABORTED call=connect fd=5
            ",
            expect: &[
                "connection_refused warning ECONNREFUSED",
                "connect_retry_aborted warning ECONNABORTED missing=ring_full",
            ],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Called, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((called, _)) = end.called.as_deref().filter(|(called, _)| called.call == Call::Connect) else {
        return Verdict::No;
    };
    let Some((failed, first)) = end.attempt_repeated(called.errno) else { return Verdict::No };
    if end.told.is_empty() && !view.last {
        return Verdict::Wait; // for the first attempt's finding, which this one follows
    }
    let taken = end.observed.iter().find(|(when, _, errno)| *errno == first && (failed..=at).contains(when));
    let (by, confidence) = match taken {
        Some((_, call, _)) => (format!(", told by {call}"), 0.95),
        // Somebody has taken it: else this very call would have been given it.
        None => (String::new(), 0.85),
    };
    let later = at.since(failed);
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::ECONNABORTED),
        facts: vec![("first_errno", Fact::Text(first.name())), ("after_ns", Fact::Count(nanoseconds(later)))],
        ..Found::of(
            &PATTERN,
            confidence,
            format!(
                "{} called connect() to {} again {} after its first attempt had failed with {first}{by}: ECONNABORTED. \
                 No SYN was sent; a socket whose attempt failed is of no further use.",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
                spoken(later),
            ),
        )
    }))
}
