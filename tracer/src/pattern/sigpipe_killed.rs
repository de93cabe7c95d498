//! P12: SIGPIPE, sent because of a connection that was gone, ended the process.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words, broken_pipe,
    words::{owner, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::nanoseconds,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "sigpipe_killed",
    severity: Severity::Critical,
    triggers: &[Trigger::On(Moment::CallFailed)],
    supersedes: &["broken_pipe"],
    settings: &[],
    errnos: &["EPIPE", "SIGPIPE"],
    needs: &["send_length", "exit"],
    text: Text {
        en: Words {
            title: "process killed by SIGPIPE",
            seen: "\
A program wrote to a connection that was gone, the kernel sent it SIGPIPE, and the program ended: without a core \
dump, without a line in its log. Every connection it had ends with it.",
            means: "\
The default action of SIGPIPE is to end the process. It goes to the thread that writes, at the first write after the \
error was told: after a RST on an open connection that is the second failing write, after a RST in CLOSE_WAIT the \
first. So one client that dies can take a server with it.",
            advice: "\
Ignore SIGPIPE (signal(SIGPIPE, SIG_IGN)) or send with MSG_NOSIGNAL, and handle EPIPE and ECONNRESET from every \
write. Take the first error of a connection as its end.",
            confirm: "grep -i SigIgn /proc/PID/status (bit 12 is SIGPIPE)",
        },
        zh: Words {
            title: "进程被 SIGPIPE 杀死",
            seen: "程序写了一个已经不在的连接,内核向它发送 SIGPIPE,程序随之结束:没有 core dump,日志里没有一行。它的所有连接也随之结束。",
            means: "\
SIGPIPE 的默认动作是结束进程。它发给正在写的线程,在错误已被告知之后的第一次写时:在打开的连接上收到 RST 之后是第二次失败的写,在 CLOSE_WAIT 中收到 RST 之后是第一次。因此一个死掉的客户端可以带走整个服务器。",
            advice: "忽略 SIGPIPE(signal(SIGPIPE, SIG_IGN))或使用 MSG_NOSIGNAL,并处理每次写的 EPIPE 和 ECONNRESET。把连接上的第一个错误当作它的结束。",
            confirm: "grep -i SigIgn /proc/PID/status (第 12 位是 SIGPIPE)",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "client dies, server writes twice, server is gone",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in httpd[17]
                0ms     s SYN_RECV>ESTABLISHED
                100ms   s reset-received
                100ms   s ESTABLISHED>CLOSE err=ECONNRESET
                150ms   s send ECONNRESET
                200ms   s sigpipe delivered
                200.1ms s send EPIPE
                200.2ms s exits SIGPIPE
            ",
            expect: &[
                "connection_reset warning ECONNRESET local=httpd[17]",
                "sigpipe_killed critical EPIPE local=httpd[17] peer=none reason=none also=broken_pipe count=1 signal=SIGPIPE complete",
            ],
        },
        Scenario {
            name: "it handles the signal and lives",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in httpd[17]
                0ms     s SYN_RECV>ESTABLISHED
                200ms   s sigpipe delivered
                200.1ms s send EPIPE shutdown=2
            ",
            expect: &["broken_pipe warning EPIPE local=httpd[17] signal=SIGPIPE"],
        },
        Scenario {
            name: "a pipe, not a connection",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in httpd[17]
                0ms     s SYN_RECV>ESTABLISHED
                200ms   s sigpipe delivered
                200.2ms s exits SIGPIPE
            ",
            expect: &[],
        },
        Scenario {
            name: "it sends with MSG_NOSIGNAL, and a pipe kills it right after",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in httpd[17]
                0ms     s SYN_RECV>ESTABLISHED
                200ms   s send EPIPE shutdown=2
                200.1ms s sigpipe delivered
                200.2ms s exits SIGPIPE
            ",
            expect: &["broken_pipe warning EPIPE local=httpd[17] signal=none"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in httpd[17]
                0ms     s SYN_RECV>ESTABLISHED
                199ms   lost 1
                200ms   s sigpipe delivered
                200.1ms s send EPIPE shutdown=2
                200.2ms s exits SIGPIPE
            ",
            expect: &["sigpipe_killed critical local=httpd[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::CallFailed, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some((piped, killed)) = end.piped.and_then(|piped| Some((piped, piped.killed?))) else {
        return Verdict::No;
    };
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::EPIPE),
        facts: vec![("died_after_ns", Fact::Count(nanoseconds(killed.since(piped.at))))],
        ..Found::of(
            &PATTERN,
            0.98,
            format!(
                "{} was killed by SIGPIPE: it wrote to its connection to {} {}.",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
                broken_pipe::why(end, at),
            ),
        )
    }))
}
