//! P16: a process died with connections open.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{comm, loss, owner, peer_owner, who},
};
use crate::death::Death;
use crate::finding::{Fact, Severity};

/// Signals that a program gets because it is broken, or because the kernel gives it up:
/// SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV. They have these numbers on every architecture but
/// Alpha, MIPS, PA-RISC and SPARC, where SIGBUS has another.
const FATAL: &[i32] = &[4, 6, 7, 8, 9, 11];

pub(super) static PATTERN: Pattern = Pattern {
    id: "process_died",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent), Trigger::On(Moment::Died)],
    supersedes: &["connection_reset", "close_with_unread_data", "linger_zero_abort"],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &[],
    text: Text {
        en: Words {
            title: "process died with the connection open",
            seen: "\
A process ended, by a signal or with a status other than 0, and the kernel closed its connections for it. What had \
unread data is reset (ECONNRESET at the other end); the rest is closed with a FIN, which nothing on the wire tells \
from an ordinary close: the other end reads end of file.",
            means: "\
SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL are crashes. SIGKILL is somebody's decision; where it was the kernel's, \
because memory was short, the finding says so. Other signals and a status are a shutdown in the middle of work. A process that ends with status \
0 is not told as a finding, only as a line of the story.",
            advice: "Look at the process's own log, its core dump, and the kernel log at this time (out of memory?).",
            confirm: "journalctl --since -5min | grep -iE 'oom|segfault|killed'",
        },
        zh: Words {
            title: "进程在连接打开时死亡",
            seen: "\
进程因信号或以非 0 状态结束,内核替它关闭了连接。有未读数据的连接被复位(对方得到 ECONNRESET);其余以 FIN 关闭,在网络上与普通关闭无法区分:对方读到文件结束。",
            means: "\
SIGSEGV、SIGABRT、SIGBUS、SIGFPE、SIGILL 是崩溃。SIGKILL 是某一方的决定;如果是内核因内存不足所为,结果会说明。其他信号和状态是工作途中的退出。以状态 0 结束的进程不作为发现,只是经过中的一行。",
            advice: "查看该进程自己的日志、core dump,以及当时的内核日志(是否内存不足?)。",
            confirm: "journalctl --since -5min | grep -iE 'oom|segfault|killed'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a server is killed while its client waits",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=SIGKILL
                100.1ms  c ESTABLISHED>CLOSE_WAIT
                101ms    c CLOSE_WAIT>LAST_ACK owned
            ",
            expect: &[
                "process_died critical errno=none local=nginx[17] peer=curl[42] reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "with unread data the client gets ECONNRESET",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.05ms s ESTABLISHED>CLOSE owned unread=7 shutdown=3 exit=SIGSEGV
                100.06ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=7 shutdown=3
            ",
            expect: &[
                "process_died critical ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_ABORT_ON_CLOSE also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "what is left of it is parked before the finding is told",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=SIGTERM
                100.1ms  s FIN_WAIT2>CLOSE dead
            ",
            expect: &["process_died warning errno=none local=nginx[17] peer=none"],
        },
        Scenario {
            name: "it ends with a status, its client is elsewhere",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=3
            ",
            expect: &["process_died warning errno=none local=nginx[17] peer=none"],
        },
        Scenario {
            name: "the kernel kills it because memory is short",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in java[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=OOM
            ",
            expect: &["process_died critical errno=none local=java[17] peer=none"],
        },
        Scenario {
            name: "it ends well",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=0
            ",
            expect: &[],
        },
        Scenario {
            name: "the other end had closed before: it takes nothing with it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                50ms     s ESTABLISHED>CLOSE_WAIT
                100ms    s CLOSE_WAIT>LAST_ACK owned exit=SIGTERM
            ",
            expect: &["process_died info local=nginx[17]"],
        },
        Scenario {
            name: "the other end closes in answer before the finding is told",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=SIGTERM
                100.1ms  s FIN_WAIT1>FIN_WAIT2 dead
                100.2ms  s FIN_WAIT2>CLOSE dead done
            ",
            expect: &["process_died warning local=nginx[17]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned exit=SIGTERM
                100.1ms  lost 4
            ",
            expect: &["process_died warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    if let Occasion::Failed { errno, .. } = *view.occasion {
        let death = match cause::of_reset(view) {
            Some(Cause::Died(death)) => death,
            Some(Cause::Open) => return Verdict::Wait,
            _ => return Verdict::No,
        };
        let victim = owner(view);
        let message = format!(
            "{} {} with its connection to {} open and data unread, and the kernel sent a RST. The next call of {} \
             fails with {errno}.",
            who(peer_owner(view), "The other end's process"),
            how(death),
            who(victim, "a process"),
            comm(victim, "the process"),
        );
        return found(view, death, severity(death), Some(errno), &message);
    }
    let (death, sends) = match *view.occasion {
        Occasion::On(Moment::Died, _) => (end.death(), "a FIN"),
        Occasion::On(Moment::ResetSent, _) => match cause::of(end, view.host) {
            Some(Cause::Died(death)) => (Some(death), "a RST"),
            _ => (None, ""),
        },
        _ => (None, ""),
    };
    let Some(death) = death else { return Verdict::No };
    if let Some(verdict) = cause::leave_to_victim(view) {
        return verdict;
    }
    let severity = if end.snapshot.closes_second() { Severity::Info } else { severity(death) };
    let message = format!(
        "{} {} with its connection to {} open; the kernel closed it with {sends}.",
        who(owner(view), "A process"),
        how(death),
        peer_owner(view).map_or_else(|| end.tuple().remote_address().to_string(), |peer| who(Some(peer), "")),
    );
    found(view, death, severity, None, &message)
}

fn found(
    view: &View<'_>,
    death: Death,
    severity: Severity,
    errno: Option<crate::errno::Errno>,
    message: &str,
) -> Verdict {
    let told_loss = view.end.filter(|_| errno.is_some()).map_or_else(String::new, |end| loss(&end.snapshot));
    let message = format!("{message}{told_loss}");
    Verdict::Found(Box::new(Found {
        severity,
        errno,
        facts: vec![
            ("death", Fact::Text(death.name())),
            ("unread_bytes", Fact::Count(view.end.map_or(0, |end| end.snapshot.unread()).into())),
        ],
        ..Found::of(&PATTERN, 0.97, message)
    }))
}

fn how(death: Death) -> String {
    match death {
        Death::Signal(_) => format!("was killed by {}", death.name()),
        Death::OutOfMemory => "was killed by the kernel, because memory was short (SIGKILL),".to_owned(),
        Death::Status(status) => format!("ended with status {status}"),
    }
}

fn severity(death: Death) -> Severity {
    match death {
        Death::OutOfMemory => Severity::Critical,
        Death::Signal(signal) if FATAL.contains(&signal) => Severity::Critical,
        _ => PATTERN.severity,
    }
}
