//! P19: a process closed with `TCP_LINGER2` below 0, so its kernel resets instead of waiting in FIN_WAIT2.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{comm, loss, owner, peer_owner, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "linger2_abort",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["EPIPE", "ECONNRESET"],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "TCP_LINGER2 below 0: a RST follows the FIN",
            seen: "\
A process set TCP_LINGER2 to a negative number and closed. Its kernel keeps no FIN_WAIT2 for it: as soon as the FIN is \
acknowledged a RST goes out (or at once, when the process had ended its sending before). It meets the other end in \
CLOSE_WAIT, where it is EPIPE: reads still give end of file, the next write fails, with SIGPIPE.",
            means: "\
Somebody asked for it, to spare the host sockets in FIN_WAIT2. The other end may no longer send anything after it has \
seen the end of the stream. The kernel's reasons are TCP_ABORT_ON_LINGER and, for the RST that answers an \
acknowledgement, TCP_ABORT_ON_DATA, though no data came; neither is SO_LINGER, whose RST is linger_zero_abort.",
            advice: "\
If this is not wanted, remove TCP_LINGER2 from the program that closes: net.ipv4.tcp_fin_timeout bounds FIN_WAIT2 \
for all.",
            confirm: "strace -f -e trace=setsockopt -p PID",
        },
        zh: Words {
            title: "以 TCP_LINGER2 小于 0 关闭:FIN 之后紧跟 RST",
            seen: "\
进程把 TCP_LINGER2 设为负数后关闭。内核不为它保留 FIN_WAIT2:FIN 一被确认就发出 RST(如果进程此前已结束发送,则立即发出)。RST 遇到处于 CLOSE_WAIT 的对方,成为 EPIPE:读仍得到文件结束,下一次写失败并伴随 SIGPIPE。",
            means: "\
这是有意为之,为了不让主机保留 FIN_WAIT2 的套接字。对方在看到流的结束之后不能再发送任何数据。内核给出的原因是 TCP_ABORT_ON_LINGER;回答确认的那个 RST 则是 TCP_ABORT_ON_DATA,尽管并没有数据到来。两者都不是 SO_LINGER,后者的 RST 见 linger_zero_abort。",
            advice: "如果不希望这样,请从关闭连接的程序中去掉 TCP_LINGER2:net.ipv4.tcp_fin_timeout 会统一限制 FIN_WAIT2 的时长。",
            confirm: "strace -f -e trace=setsockopt -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "both ends are here: the RST answers the acknowledgement of the FIN",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                100.01ms c ESTABLISHED>CLOSE_WAIT
                100.03ms s FIN_WAIT2>CLOSE dead shutdown=3 linger2=-1
                100.04ms s reset-sent reason=TCP_ABORT_ON_DATA answers=A:0 dead shutdown=3
                100.05ms c reset-received
                100.06ms c CLOSE_WAIT>CLOSE err=EPIPE
            ",
            expect: &[
                "linger2_abort warning EPIPE local=curl[42] peer=nginx[17] reason=TCP_ABORT_ON_DATA also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "closed after its sending was ended: a RST of its own accord, which its records follow",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                90ms     s ESTABLISHED>FIN_WAIT1 owned shutdown=2
                90.1ms   c ESTABLISHED>CLOSE_WAIT
                100.01ms c reset-received unacked=9
                100.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
                100.05ms s FIN_WAIT2>CLOSE owned dead shutdown=3 linger2=-1
                100.06ms s reset-sent reason=TCP_ABORT_ON_LINGER owned dead shutdown=3
            ",
            expect: &[
                "linger2_abort warning EPIPE local=curl[42] peer=nginx[17] reason=TCP_ABORT_ON_LINGER also= count=1",
            ],
        },
        Scenario {
            name: "the other end is elsewhere",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                11ms   s FIN_WAIT2>CLOSE dead shutdown=3 linger2=-1
                11.1ms s reset-sent reason=TCP_ABORT_ON_DATA answers=A:0 dead shutdown=3
            ",
            expect: &["linger2_abort warning errno=none local=nginx[17] peer=none reason=TCP_ABORT_ON_DATA"],
        },
        Scenario {
            name: "a kernel that gives no reason",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms     s SYN_RECV>ESTABLISHED
                10ms    s ESTABLISHED>FIN_WAIT1 owned shutdown=2
                100ms   s FIN_WAIT2>CLOSE owned dead shutdown=3 linger2=-1
                100.1ms s reset-sent owned dead shutdown=3
            ",
            expect: &["linger2_abort warning errno=none local=nginx[17] reason=none"],
        },
        Scenario {
            name: "data came: it would have been refused without TCP_LINGER2 as well",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0.1ms     c SYN_SENT>ESTABLISHED
                0.1ms     s SYN_RECV>ESTABLISHED
                10ms      s ESTABLISHED>FIN_WAIT1 owned shutdown=3 linger2=-1
                10.1ms    c ESTABLISHED>CLOSE_WAIT
                11ms      s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9 dead
                11.03ms   c reset-received unacked=9
                11.04ms   c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &["fin_wait2_write_reset warning EPIPE local=curl[42] peer=nginx[17]"],
        },
        Scenario {
            name: "data meets an orphan that TCP_LINGER2 has nothing to do with",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                11ms   s FIN_WAIT2>CLOSE dead shutdown=3
                11.1ms s reset-sent reason=TCP_ABORT_ON_DATA answers=PA:9 dead shutdown=3
            ",
            expect: &[
                "fin_wait2_write_reset warning errno=none local=nginx[17] peer=none reason=TCP_ABORT_ON_DATA",
            ],
        },
        Scenario {
            name: "TCP_LINGER2 is set, and SO_LINGER of 0 acts first",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms      s SYN_RECV>ESTABLISHED
                100ms    s ESTABLISHED>CLOSE owned linger0 shutdown=3 linger2=-1
                100.01ms s reset-sent reason=TCP_STATE owned linger0 shutdown=3
            ",
            expect: &["linger_zero_abort warning local=nginx[17]"],
        },
        Scenario {
            name: "the other end closes first: it goes no way through FIN_WAIT2",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED linger2=-1
                10ms   s ESTABLISHED>CLOSE_WAIT
                11ms   s CLOSE_WAIT>LAST_ACK owned shutdown=3
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned shutdown=3
                11ms   lost 3
                11.1ms s reset-sent reason=TCP_ABORT_ON_DATA answers=A:0 dead shutdown=3 linger2=-1
            ",
            expect: &["linger2_abort warning local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    match *view.occasion {
        Occasion::Failed { errno, .. } => {
            match cause::sought(view) {
                Ok(Cause::NoFinWait2) => {}
                Ok(_) => return Verdict::No,
                Err(verdict) => return verdict,
            }
            let told_loss = loss(&end.snapshot);
            let victim = owner(view);
            Verdict::Found(Box::new(Found {
                errno: Some(errno),
                look_at_peer: true,
                facts: vec![
                    ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
                    ("eof_read", Fact::Flag(end.snapshot.past.eof_read_ns != 0)),
                ],
                ..Found::of(
                    &PATTERN,
                    0.99,
                    format!(
                        "{} closed its connection to {} with TCP_LINGER2 below 0: a RST followed the FIN. The next \
                         write of {} fails with {errno}.{told_loss}",
                        who(peer_owner(view), "The other end"),
                        who(victim, "a process"),
                        comm(victim, "the process"),
                    ),
                )
            }))
        }
        Occasion::On(Moment::ResetSent, _) => {
            if cause::of(end, view.host) != Some(Cause::NoFinWait2) {
                return Verdict::No;
            }
            if let Some(verdict) = cause::leave_to_victim(view) {
                return verdict;
            }
            Verdict::Found(Box::new(Found::of(
                &PATTERN,
                0.99,
                format!(
                    "{} closed its connection to {} with TCP_LINGER2 below 0: a RST followed the FIN; the other end \
                     gets EPIPE when it writes.",
                    who(owner(view), "A process"),
                    end.tuple().remote_address(),
                ),
            )))
        }
        _ => Verdict::No,
    }
}
