//! P82: the kernel had no memory to spare for a connection whose process had closed it.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, SentReset, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{comm, loss, owner, peer_owner, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "memory_pressure_reset",
    severity: Severity::Critical,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNRESET", "EPIPE"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "too many orphans or too little TCP memory: RST",
            seen: "\
The kernel sent a RST, by its own word because of memory (TCP_ABORT_ON_MEMORY): for a connection that a process had \
just closed, or that a timer found still waiting for its end. The kernel log says `too many orphaned sockets` or `out \
of memory -- consider tuning tcp_mem`.",
            means: "\
Connections that their processes have closed and that the other end has not yet acknowledged (orphans) are more than \
net.ipv4.tcp_max_orphans allows, or TCP as a whole has more memory than the last number of net.ipv4.tcp_mem. Both are \
limits of the whole host. What was written and not acknowledged is lost, whoever wrote it. The kernel sends what it \
can, so peers that answer slowly or not at all (stuck in FIN_WAIT1, LAST_ACK) are what uses it up.",
            advice: "\
Look who closes connections that do not end (orphans, sockets in FIN_WAIT1), and raise net.ipv4.tcp_max_orphans or \
net.ipv4.tcp_mem if the host has the memory.",
            confirm: "cat /proc/net/sockstat; sysctl net.ipv4.tcp_max_orphans net.ipv4.tcp_mem",
        },
        zh: Words {
            title: "孤儿连接过多或 TCP 内存不足:RST",
            seen: "\
内核发送了 RST,按它自己给出的原因是内存(TCP_ABORT_ON_MEMORY):对象是进程刚关闭的连接,或定时器发现仍在等待结束的连接。内核日志中有 `too many orphaned sockets` 或 `out of memory -- consider tuning tcp_mem`。",
            means: "\
进程已关闭而对方尚未确认的连接(孤儿)超过了 net.ipv4.tcp_max_orphans,或者 TCP 总共占用的内存超过了 net.ipv4.tcp_mem 的最后一个数。两者都是整个主机的限制。已写入而未被确认的数据丢失,不论是谁写的。耗尽它的往往是应答很慢或根本不应答的对方(停在 FIN_WAIT1、LAST_ACK)。",
            advice: "查看是谁关闭了迟迟不能结束的连接(孤儿、FIN_WAIT1 的套接字);主机内存允许时调高 net.ipv4.tcp_max_orphans 或 net.ipv4.tcp_mem。",
            confirm: "cat /proc/net/sockstat; sysctl net.ipv4.tcp_max_orphans net.ipv4.tcp_mem",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a close finds no room for another orphan, both ends here",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100.01ms c reset-received unacked=9
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET unacked=9
                100.05ms s FIN_WAIT1>CLOSE owned dead shutdown=3
                100.06ms s reset-sent reason=TCP_ABORT_ON_MEMORY owned dead shutdown=3
            ",
            expect: &[
                "memory_pressure_reset critical ECONNRESET local=curl[42] peer=nginx[17] reason=TCP_ABORT_ON_MEMORY also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "a timer gives an orphan up; the other end is elsewhere",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                900ms    s sample FIN_WAIT1 dead shutdown=3 unacked=1000
                900ms    s reset-sent reason=TCP_ABORT_ON_MEMORY dead shutdown=3 unacked=1000
                900.1ms  s FIN_WAIT1>CLOSE dead shutdown=3
            ",
            expect: &[
                "memory_pressure_reset critical errno=none local=nginx[17] peer=none reason=TCP_ABORT_ON_MEMORY",
            ],
        },
        Scenario {
            name: "an orphan with TCP_LINGER2 and SO_LINGER set: the kernel's reason counts",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s FIN_WAIT1>CLOSE owned dead linger0 shutdown=3 linger2=-1
                100.01ms s reset-sent reason=TCP_ABORT_ON_MEMORY owned dead linger0 shutdown=3
            ",
            expect: &["memory_pressure_reset critical local=nginx[17]"],
        },
        Scenario {
            name: "a kernel that gives no reason: nothing tells it from other aborts",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s FIN_WAIT1>CLOSE owned dead shutdown=3
                100.01ms s reset-sent owned dead shutdown=3
            ",
            expect: &[],
        },
        Scenario {
            name: "a kernel that gives no reason: only a timer that gives up an orphan sends a RST in this state",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                900ms    s reset-sent dead shutdown=3
                900.01ms c reset-received
                900.02ms c ESTABLISHED>CLOSE err=ECONNRESET
                900.1ms  s FIN_WAIT1>CLOSE dead shutdown=3
            ",
            expect: &[
                "memory_pressure_reset critical ECONNRESET local=curl[42] peer=nginx[17] reason=none also= count=1",
            ],
        },
        Scenario {
            name: "an administrator destroys an orphan, on a kernel that gives no reason",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                10ms     s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                900ms    s reset-sent owned dead shutdown=3
                900.1ms  s FIN_WAIT1>CLOSE err=ECONNABORTED owned dead shutdown=3
            ",
            expect: &[],
        },
        Scenario {
            name: "unread data is another reason, however short memory may be",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned shutdown=3 unread=5
                100.01ms s reset-sent reason=TCP_ABORT_ON_CLOSE owned shutdown=3 unread=5
            ",
            expect: &["close_with_unread_data warning local=nginx[17]"],
        },
        Scenario {
            name: "it was abroad that memory was short: nobody can know",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                100.01ms c reset-received
                100.02ms c ESTABLISHED>CLOSE err=ECONNRESET
            ",
            expect: &["connection_reset warning ECONNRESET local=curl[42] peer=none"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                99ms     lost 40
                100.01ms s reset-sent reason=TCP_ABORT_ON_MEMORY owned dead closed shutdown=3
            ",
            expect: &["memory_pressure_reset critical local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let facts = vec![
        ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
        ("unsent_bytes", Fact::Count(end.snapshot.unsent().into())),
    ];
    // By its own word, or by what only that leads to.
    let sure = |sent: &SentReset| if view.host.reason(sent.reason).is_some() { 0.99 } else { 0.85 };
    match *view.occasion {
        Occasion::Failed { errno, .. } => {
            match cause::sought(view) {
                Ok(Cause::Memory) => {}
                Ok(_) => return Verdict::No,
                Err(verdict) => return verdict,
            }
            let told_loss = loss(&end.snapshot);
            let victim = owner(view);
            Verdict::Found(Box::new(Found {
                errno: Some(errno),
                facts,
                ..Found::of(
                    &PATTERN,
                    view.peer.and_then(|peer| peer.reset_sent.as_ref()).map_or(0.85, sure),
                    format!(
                        "{} had closed its connection to {}, and the kernel, short of memory or over its limit of \
                         orphans, reset it. The next call of {} fails with {errno}.{told_loss}",
                        who(peer_owner(view), "The other end"),
                        who(victim, "a process"),
                        comm(victim, "the process"),
                    ),
                )
            }))
        }
        Occasion::On(Moment::ResetSent, _) => {
            if cause::of(end, view.host) != Some(Cause::Memory) {
                return Verdict::No;
            }
            if let Some(verdict) = cause::leave_to_victim(view) {
                return verdict;
            }
            Verdict::Found(Box::new(Found {
                facts,
                ..Found::of(
                    &PATTERN,
                    end.reset_sent.as_ref().map_or(0.85, sure),
                    format!(
                        "The connection of {} to {} was closed, and the kernel, short of memory or over its limit of \
                         orphans, sent a RST instead of waiting for its end.",
                        who(owner(view), "a process"),
                        end.tuple().remote_address(),
                    ),
                )
            }))
        }
        _ => Verdict::No,
    }
}
