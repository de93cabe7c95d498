//! P14: a process closed a connection without reading what had come, and the kernel sent a RST for it.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{bytes, comm, owner, peer_owner, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "close_with_unread_data",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "closed with unread data, so a RST went out",
            seen: "\
A process called close() while data it had not read was waiting. The kernel then sends a RST instead of a FIN, so \
that the other end learns that its data was thrown away (RFC 2525, 2.17). The other end gets ECONNRESET, and may \
lose the reply that was on its way.",
            means: "\
Typical: a server that answers before it has read the whole request body (413, 401), or a client that has what it \
wants and leaves the rest. Where the other end had already closed, nobody is hurt: info.",
            advice: "\
Read until the end before closing, or shutdown(SHUT_WR) and drain what comes for a moment; limit what is drained.",
            confirm: "nstat -az TcpExtTCPAbortOnClose",
        },
        zh: Words {
            title: "关闭时有未读数据,因此发出 RST",
            seen: "\
进程在还有未读数据时调用了 close()。内核因此发送 RST 而不是 FIN,让对方知道它的数据被丢弃(RFC 2525 2.17)。对方得到 ECONNRESET,并可能丢失正在路上的回复。",
            means: "\
典型情况:服务器在读完整个请求体之前就应答(413、401),或客户端拿到所需后丢下其余数据。如果对方已经关闭,则无人受损,级别为 info。",
            advice: "关闭前读到结束,或先 shutdown(SHUT_WR) 再短暂读空剩余数据,并限制读取的量。",
            confirm: "nstat -az TcpExtTCPAbortOnClose",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends are here",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned unread=10 shutdown=3
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.05ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=10 shutdown=3
            ",
            expect: &[
                "close_with_unread_data warning ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_ABORT_ON_CLOSE also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the kernel gives no reason: the fields tell",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned unread=10 shutdown=3
                100.05ms s reset-sent owned unread=10 shutdown=3
            ",
            expect: &["close_with_unread_data warning errno=none local=nginx[17] peer=none"],
        },
        Scenario {
            name: "the other end had closed before",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                50ms     s ESTABLISHED>CLOSE_WAIT unread=11
                100ms    s CLOSE_WAIT>CLOSE owned unread=11 shutdown=3
                100.05ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=11 shutdown=3
            ",
            expect: &["close_with_unread_data info local=nginx[17]"],
        },
        Scenario {
            name: "its port is used again: what was told of the connection before is another's",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out wrk[42]
                s = swap c in nginx[17]
                d = 127.0.0.1:40000 > 127.0.0.1:8080 out wrk[43]
                t = swap d in nginx[17]
                0ms       c CLOSE>SYN_SENT owned
                0.1ms     s SYN_RECV>ESTABLISHED
                0.2ms     c SYN_SENT>ESTABLISHED
                100ms     c ESTABLISHED>CLOSE owned unread=10 shutdown=3
                100.1ms   s reset-received
                100.2ms   s ESTABLISHED>CLOSE err=ECONNRESET
                100.3ms   c reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=10 shutdown=3
                600ms     d CLOSE>SYN_SENT owned
                600.1ms   t SYN_RECV>ESTABLISHED
                600.2ms   d SYN_SENT>ESTABLISHED
                604ms     t ESTABLISHED>FIN_WAIT1 owned shutdown=3
                604.1ms   d ESTABLISHED>CLOSE_WAIT unread=11
                604.4ms   d CLOSE_WAIT>CLOSE owned unread=11 shutdown=3
                604.5ms   t reset-received dead
                604.6ms   t FIN_WAIT1>CLOSE err=ECONNRESET dead
                604.7ms   d reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=11 shutdown=3
            ",
            expect: &[
                "close_with_unread_data warning ECONNRESET local=nginx[17] peer=wrk[42]",
                "close_with_unread_data info local=wrk[43]",
            ],
        },
        Scenario {
            name: "everything was read: an ordinary close",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                100ms    s ESTABLISHED>CLOSE owned unread=10 shutdown=3
                100.05ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned unread=10 shutdown=3
                100.06ms lost 1
            ",
            expect: &["close_with_unread_data warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    match *view.occasion {
        Occasion::Failed { errno, .. } => {
            let unread = match cause::of_reset(view) {
                Some(Cause::Unread(unread)) => unread,
                Some(Cause::Open) => return Verdict::Wait,
                _ => return Verdict::No,
            };
            let victim = owner(view);
            Verdict::Found(Box::new(Found {
                errno: Some(errno),
                facts: vec![
                    ("peer_unread_bytes", Fact::Count(unread.into())),
                    ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
                ],
                ..Found::of(
                    &PATTERN,
                    0.98,
                    format!(
                        "{} closed its connection to {} with {} unread, and the kernel sent a RST. The next call of {} \
                         fails with {errno}.",
                        who(peer_owner(view), "The other end"),
                        who(victim, "a process"),
                        bytes(unread),
                        comm(victim, "the process"),
                    ),
                )
            }))
        }
        Occasion::On(Moment::ResetSent, _) => {
            let Some(Cause::Unread(unread)) = cause::of(end, view.host) else { return Verdict::No };
            if let Some(verdict) = cause::leave_to_victim(view) {
                return verdict;
            }
            let late = cause::peer_had_closed(view);
            let harm = if late { "had closed before" } else { "gets ECONNRESET" };
            Verdict::Found(Box::new(Found {
                severity: if late { Severity::Info } else { PATTERN.severity },
                facts: vec![("unread_bytes", Fact::Count(unread.into()))],
                ..Found::of(
                    &PATTERN,
                    0.98,
                    format!(
                        "{} closed its connection to {} with {} unread, and the kernel sent a RST; the other end {harm}.",
                        who(owner(view), "A process"),
                        end.tuple().remote_address(),
                        bytes(unread),
                    ),
                )
            }))
        }
        _ => Verdict::No,
    }
}
