//! P15: a process ended a connection with a RST on purpose.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{comm, loss, owner, peer_owner, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "linger_zero_abort",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "connection aborted on purpose",
            seen: "\
A process closed a connection with SO_LINGER on and a time of 0, or disconnected it with connect(AF_UNSPEC): the \
kernel sends a RST instead of a FIN and throws away what was not yet sent. The other end gets ECONNRESET.",
            means: "\
Somebody asked for it: load testers, proxies and health checkers do, to spare themselves TIME_WAIT. The kernel's \
reason for this RST is TCP_STATE; TCP_ABORT_ON_LINGER, in spite of its name, is TCP_LINGER2. With unread data the \
RST is sent for that, whatever SO_LINGER says (close_with_unread_data).",
            advice: "If this is not wanted, remove SO_LINGER from the program that closes.",
            confirm: "strace -f -e trace=setsockopt -p PID",
        },
        zh: Words {
            title: "有意中止的连接",
            seen: "\
进程在 SO_LINGER 打开且时间为 0 的情况下关闭连接,或用 connect(AF_UNSPEC) 断开它:内核发送 RST 而不是 FIN,并丢弃尚未发送的数据。对方得到 ECONNRESET。",
            means: "\
这是有意为之:压测工具、代理和健康检查用它来避免 TIME_WAIT。内核给出的原因是 TCP_STATE;TCP_ABORT_ON_LINGER 与其名字相反,指的是 TCP_LINGER2。如果还有未读数据,无论 SO_LINGER 如何,RST 都是因未读数据而发送(close_with_unread_data)。",
            advice: "如果不希望这样,请从关闭连接的程序中去掉 SO_LINGER。",
            confirm: "strace -f -e trace=setsockopt -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends are here: the victim's finding names the closer",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100.01ms c reset-received unacked=9
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=9
                100.05ms s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.06ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &[
                "linger_zero_abort warning ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_STATE also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the closer waits for a CPU before its RST is told",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.01ms c reset-received unacked=9
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=9
                700ms    s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &["linger_zero_abort warning ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_STATE"],
        },
        Scenario {
            name: "its RST is never told, because that record was lost",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.01ms c reset-received unacked=9
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=9
                100.05ms lost 1
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=nginx[17] missing=ring_full"],
        },
        Scenario {
            name: "the victim is elsewhere",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.01ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &["linger_zero_abort warning errno=none local=nginx[17] peer=none reason=TCP_STATE"],
        },
        Scenario {
            name: "an address is translated on the way: the sequence numbers join the ends",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.99:80 out curl[42]
                s = behind c 10.0.0.2:8080 in nginx[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.05ms s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.06ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &["linger_zero_abort warning ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_STATE"],
        },
        Scenario {
            name: "another address and other sequence numbers: another connection",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.99:80 out curl[42]
                s = behind c 10.0.0.2:8080 in nginx[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
                100.05ms s ESTABLISHED>CLOSE owned linger0 shutdown=3 sent=1
                100.06ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &[
                "connection_reset warning ECONNRESET local=curl[42] peer=none",
                "linger_zero_abort warning errno=none local=nginx[17] peer=none",
            ],
        },
        Scenario {
            name: "disconnected with AF_UNSPEC",
            trace: "
                c = 10.0.0.2:40000 > 10.0.0.1:80 out redis[17]
                0ms      c SYN_SENT>ESTABLISHED
                100ms    c ESTABLISHED>CLOSE owned
                100.01ms c reset-sent reason=TCP_STATE owned
            ",
            expect: &["linger_zero_abort warning local=redis[17]"],
        },
        Scenario {
            name: "unread data is the reason, whatever SO_LINGER says",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3 unread=5
                100.01ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned linger0 shutdown=3 unread=5
            ",
            expect: &["close_with_unread_data warning local=nginx[17]"],
        },
        Scenario {
            name: "the other end had closed: nobody loses anything",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>CLOSE_WAIT
                100ms    s CLOSE_WAIT>CLOSE owned linger0 shutdown=3
                100.01ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &["linger_zero_abort info local=nginx[17]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3
                100.01ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
                100.05ms lost 2
            ",
            expect: &["linger_zero_abort warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let asked = |cause| match cause {
        Cause::Linger => Some(("SO_LINGER of 0 s", 0.97)),
        Cause::Disconnect => Some(("connect(AF_UNSPEC)", 0.8)),
        _ => None,
    };
    match *view.occasion {
        Occasion::Failed { errno, .. } => {
            let Some(cause) = cause::of_reset(view) else { return Verdict::No };
            if cause == Cause::Open {
                return Verdict::Wait;
            }
            let Some((how, confidence)) = asked(cause) else { return Verdict::No };
            let told_loss = loss(&end.snapshot);
            let victim = owner(view);
            Verdict::Found(Box::new(Found {
                errno: Some(errno),
                look_at_peer: true,
                facts: vec![
                    ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
                    ("unsent_bytes", Fact::Count(end.snapshot.unsent().into())),
                ],
                ..Found::of(
                    &PATTERN,
                    confidence,
                    format!(
                        "{} aborted its connection to {} on purpose ({how}). The next call of {} fails with \
                         {errno}.{told_loss}",
                        who(peer_owner(view), "The other end"),
                        who(victim, "a process"),
                        comm(victim, "the process"),
                    ),
                )
            }))
        }
        Occasion::On(Moment::ResetSent, _) => {
            let Some((how, confidence)) = cause::of(end, view.host).and_then(asked) else {
                return Verdict::No;
            };
            if let Some(verdict) = cause::leave_to_victim(view) {
                return verdict;
            }
            let late = cause::peer_had_closed(view);
            Verdict::Found(Box::new(Found {
                severity: if late { Severity::Info } else { PATTERN.severity },
                facts: vec![("unsent_bytes", Fact::Count(end.snapshot.unsent().into()))],
                ..Found::of(
                    &PATTERN,
                    confidence,
                    format!(
                        "{} aborted its connection to {} on purpose ({how}); the other end gets ECONNRESET.",
                        who(owner(view), "A process"),
                        end.tuple().remote_address(),
                    ),
                )
            }))
        }
        _ => Verdict::No,
    }
}
