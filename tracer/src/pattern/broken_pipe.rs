//! P12: a program wrote to a connection on which nothing can be sent any more.

use super::{
    End, Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, spoken, who},
};
use crate::{
    errno::Errno,
    event::Delivery,
    finding::{Fact, Severity},
    time::Time,
};
use tracer_common::record::socket;

pub(super) static PATTERN: Pattern = Pattern {
    id: "broken_pipe",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::CallFailed)],
    supersedes: &[],
    settings: &[],
    errnos: &["EPIPE", "SIGPIPE"],
    needs: &["send_length"],
    text: Text {
        en: Words {
            title: "wrote to a connection that is gone: EPIPE",
            seen: "\
A send or write returned EPIPE, and unless MSG_NOSIGNAL was given the kernel sent SIGPIPE to the thread, which ends \
the process if it neither ignores nor handles it. This program ignored or handled it, or the signal was not sent.",
            means: "\
The connection had ended before: by a RST, a timeout, or by the program's own shutdown(SHUT_WR). After a RST on an \
open connection Linux gives ECONNRESET first, without a signal, and EPIPE with SIGPIPE from the second write on; \
after a RST on a connection whose other end had closed (CLOSE_WAIT) already the first write that fails gives EPIPE \
and SIGPIPE. A write that succeeded says nothing about delivery.",
            advice: "\
Take the first error, or the end of file, of a connection as its end, and write no more. Ignore SIGPIPE or use \
MSG_NOSIGNAL in every program that writes to sockets.",
            confirm: "strace -f -e trace=write,send,sendto,sendmsg,writev -p PID",
        },
        zh: Words {
            title: "写了已不存在的连接:EPIPE",
            seen: "\
send 或 write 返回 EPIPE;除非使用 MSG_NOSIGNAL,内核还会向该线程发送 SIGPIPE,进程若不忽略也不处理它就会结束。这个程序忽略或处理了它,或者没有发送信号。",
            means: "\
连接此前已经结束:因为 RST、超时,或程序自己的 shutdown(SHUT_WR)。在打开的连接上收到 RST 后,Linux 先给出不带信号的 ECONNRESET,从第二次写起给出 EPIPE 和 SIGPIPE;如果 RST 到达时对方早已关闭(CLOSE_WAIT),第一次失败的写就是 EPIPE 和 SIGPIPE。写成功并不说明数据已送达。",
            advice: "把连接上的第一个错误或文件结束当作连接的结束,不再写。在所有写套接字的程序中忽略 SIGPIPE 或使用 MSG_NOSIGNAL。",
            confirm: "strace -f -e trace=write,send,sendto,sendmsg,writev -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "the second write after a reset, SIGPIPE ignored",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                100ms  c reset-received
                100ms  c ESTABLISHED>CLOSE err=ECONNRESET
                200ms  c send ECONNRESET
                300ms  c sigpipe ignored
                300.1ms c send EPIPE
            ",
            expect: &[
                "connection_reset warning ECONNRESET local=curl[42]",
                "broken_pipe warning EPIPE local=curl[42] signal=SIGPIPE",
            ],
        },
        Scenario {
            name: "its own shutdown, without a signal",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                100ms  c ESTABLISHED>FIN_WAIT1 owned shutdown=2
                300ms  c send EPIPE shutdown=2
            ",
            expect: &["broken_pipe warning EPIPE local=curl[42] signal=none complete"],
        },
        Scenario {
            name: "the process dies of it: another pattern",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c SYN_SENT>ESTABLISHED
                300ms  c sigpipe delivered
                300.1ms c send EPIPE shutdown=2
                300.2ms c exits SIGPIPE
            ",
            expect: &["sigpipe_killed critical EPIPE local=curl[42] also=broken_pipe signal=SIGPIPE"],
        },
        Scenario {
            name: "a first write that gives ECONNRESET is none",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                100ms  c reset-received
                100ms  c ESTABLISHED>CLOSE err=ECONNRESET
                200ms  c send ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms    c SYN_SENT>ESTABLISHED
                299ms  lost 1
                300ms  c send EPIPE shutdown=2
            ",
            expect: &["broken_pipe warning EPIPE local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::CallFailed, at), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some(piped) = end.piped else { return Verdict::No };
    if piped.signal == Some(Delivery::Delivered) && piped.killed.is_none() && !view.last {
        return Verdict::Wait; // it may be the end of the process
    }
    let signal = match piped.signal {
        Some(Delivery::Delivered) => " SIGPIPE was delivered; the process handles or blocks it.",
        Some(Delivery::Ignored) => " The process ignores SIGPIPE.",
        Some(Delivery::Unknown) => " SIGPIPE was sent.",
        None => " No SIGPIPE was sent.",
    };
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::EPIPE),
        facts: vec![("signal_sent", Fact::Flag(piped.signal.is_some()))],
        ..Found::of(
            &PATTERN,
            0.98,
            format!(
                "{} wrote to its connection to {} {}: EPIPE.{signal}",
                who(owner(view), "A process"),
                end.tuple().remote_address(),
                why(end, at),
            ),
        )
    }))
}

/// Why nothing can be sent any more, after `when`.
pub(super) fn why(end: &End, now: Time) -> String {
    let ago = |at: Time| spoken(now.since(at));
    let failed = end.failed.map(|(at, _, errno)| (at, errno));
    if let Some((at, _)) = failed.filter(|_| end.reset_itself()) {
        return format!("{} after its own shutdown had reset it", ago(at));
    }
    match (end.reset_received, failed) {
        (Some((at, _)), _) => format!("{} after a RST had ended it", ago(at)),
        (None, Some((at, errno))) => format!("{} after it had ended with {errno}", ago(at)),
        (None, None) if end.snapshot.past.established_ns == 0 && end.snapshot.past.flags == 0 => {
            "which was never made".to_owned()
        }
        (None, None) if end.snapshot.socket.shutdown & socket::SEND_SHUTDOWN != 0 => {
            "after its own shutdown(SHUT_WR)".to_owned()
        }
        (None, None) => "which had ended before".to_owned(),
    }
}
