//! P10: a write to a connection whose other end had already closed.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, SentReset, Text, Trigger, Verdict, View, Words,
    cause::{self, Cause},
    words::{advise, bytes, comm, owner, peer_closed, peer_owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "fin_wait2_write_reset",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed), Trigger::On(Moment::ResetSent)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["EPIPE", "SIGPIPE"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "RST answered a write to a socket in FIN_WAIT2",
            seen: "\
One end closed (FIN_WAIT1, FIN_WAIT2). The other kept its socket in CLOSE_WAIT and then wrote. The write succeeded; \
a RST answered it. The next write fails with EPIPE, and SIGPIPE kills a process that does not ignore it.",
            means: "\
Nobody reads at the end that closed: Linux keeps only a remainder of its socket for tcp_fin_timeout, and that \
answers data with RST. On Linux the writer never sees ECONNRESET here: the RST meets a socket in CLOSE_WAIT, which \
makes it EPIPE, and reads go on giving end of file. Books that promise ECONNRESET describe BSD. A peer \
that only ended its own sending (shutdown(SHUT_WR)) still reads, and resets nothing.

Seconds between the close and the write mean a stale pooled connection or an end of file that nobody handled. \
Less than a round trip means that close and write crossed on the way.",
            advice: "\
Treat end of file as the end of the connection. Keep the client's idle timeout below the server's keep-alive \
timeout, and repeat idempotent requests on a new connection.",
            confirm: "ss -tn state close-wait '( sport = :PORT or dport = :PORT )'",
        },
        zh: Words {
            title: "写入处于 FIN_WAIT2 的对端,得到 RST",
            seen: "\
一端已关闭(FIN_WAIT1、FIN_WAIT2)。另一端把套接字留在 CLOSE_WAIT,之后又写入。这次写成功了,但得到 RST 作为回答。下一次写返回 EPIPE,没有忽略 SIGPIPE 的进程会被它杀死。",
            means: "\
关闭的一端已无人读取:Linux 只把它的套接字残余保留 tcp_fin_timeout 这么久,并用 RST 回答数据。在 Linux 上写的一方此时看不到 ECONNRESET:RST 遇到 CLOSE_WAIT 的套接字就成为 EPIPE,读则一直得到文件结束。承诺 ECONNRESET 的书讲的是 BSD。只结束了自己发送方向(shutdown(SHUT_WR))的对方仍会读取,不会复位。

关闭与写入相隔数秒,说明连接池里的连接已过期,或没有处理文件结束。不到一个往返时间,说明关闭与写入在途中交错。",
            advice: "把文件结束当作连接的结束。客户端的空闲超时要小于服务器的 keep-alive 超时;幂等的请求在新连接上重试。",
            confirm: "ss -tn state close-wait '( sport = :PORT or dport = :PORT )'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a stale pooled connection, both ends here",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c SYN_SENT>ESTABLISHED
                0.1ms  s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned
                10.1ms c ESTABLISHED>CLOSE_WAIT
                10.2ms s FIN_WAIT2>CLOSE dead
                3210ms s remainder-reset reason=TCP_TIMEWAIT_SOCKET answers=PA:9
                3210.01ms c reset-received unacked=9
                3210.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &["fin_wait2_write_reset warning EPIPE local=curl[42] peer=nginx[17] reason=TCP_TIMEWAIT_SOCKET complete"],
        },
        Scenario {
            name: "remainders that have no cookie are told apart by their addresses",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                d = 127.0.0.1:40001 > 127.0.0.1:8081 out wget[43]
                t = swap d in httpd[18]
                e = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c SYN_SENT>ESTABLISHED
                0.1ms  s SYN_RECV>ESTABLISHED
                1ms    d CLOSE>SYN_SENT owned
                1.1ms  d SYN_SENT>ESTABLISHED
                1.1ms  t SYN_RECV>ESTABLISHED
                9ms    e remainder-reset bare reason=TCP_TIMEWAIT_SOCKET answers=PA:9
                10ms   s ESTABLISHED>FIN_WAIT1 owned
                10.1ms c ESTABLISHED>CLOSE_WAIT
                10.2ms s FIN_WAIT2>CLOSE dead
                11ms   t ESTABLISHED>FIN_WAIT1 owned
                11.1ms d ESTABLISHED>CLOSE_WAIT
                11.2ms t FIN_WAIT2>CLOSE dead
                3210ms s remainder-reset bare reason=TCP_TIMEWAIT_SOCKET answers=PA:9
                3210.01ms c reset-received unacked=9
                3210.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
                3220ms t remainder-reset bare reason=TCP_TIMEWAIT_SOCKET answers=PA:9
                3220.01ms d reset-received unacked=9
                3220.02ms d CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &[
                "fin_wait2_write_reset warning errno=none local=none peer=none",
                "fin_wait2_write_reset warning EPIPE local=curl[42] peer=nginx[17]",
                "fin_wait2_write_reset warning EPIPE local=wget[43] peer=httpd[18]",
            ],
        },
        Scenario {
            name: "the server that closed is elsewhere",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c SYN_SENT>ESTABLISHED
                10.1ms c ESTABLISHED>CLOSE_WAIT
                3210.01ms c reset-received unacked=9
                3210.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &["fin_wait2_write_reset warning EPIPE local=curl[42] peer=none"],
        },
        Scenario {
            name: "the client that writes is elsewhere",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned
                10.2ms s FIN_WAIT2>CLOSE dead
                3210ms s remainder-reset reason=TCP_TIMEWAIT_SOCKET answers=PA:9
            ",
            expect: &["fin_wait2_write_reset warning errno=none local=nginx[17] peer=none"],
        },
        Scenario {
            name: "a half-closed connection goes on in the other direction",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms    c SYN_SENT>ESTABLISHED
                0ms    s SYN_RECV>ESTABLISHED
                10ms   c ESTABLISHED>FIN_WAIT1 owned
                10.1ms s ESTABLISHED>CLOSE_WAIT
                500ms  s CLOSE_WAIT>LAST_ACK owned
                500ms  c FIN_WAIT2>CLOSE done
            ",
            expect: &[],
        },
        Scenario {
            name: "the peer half-closed, then aborted: no write was answered",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms    c SYN_SENT>ESTABLISHED
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned
                10.1ms c ESTABLISHED>CLOSE_WAIT
                500ms  s FIN_WAIT2>CLOSE owned linger0
                500.01ms c reset-received
                500.02ms c CLOSE_WAIT>CLOSE err=EPIPE
                500.05ms s reset-sent reason=TCP_STATE owned
            ",
            expect: &["linger_zero_abort warning EPIPE local=curl[42] peer=nginx[17]"],
        },
        Scenario {
            name: "an orphan with TCP_LINGER2 -1 answers an ACK: nothing was written",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in nginx[17]
                0ms    s SYN_RECV>ESTABLISHED
                10ms   s ESTABLISHED>FIN_WAIT1 owned
                11ms   s reset-sent reason=TCP_ABORT_ON_DATA answers=A:0 dead linger2=-1
            ",
            expect: &["linger2_abort warning errno=none local=nginx[17]"],
        },
        Scenario {
            name: "what the peer sent was lost",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms    c SYN_SENT>ESTABLISHED
                10.1ms c ESTABLISHED>CLOSE_WAIT
                3210ms lost 2
                3210.01ms c reset-received unacked=9
                3210.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
            ",
            expect: &["fin_wait2_write_reset warning EPIPE peer=none missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    match *view.occasion {
        Occasion::Failed { at, old: State::CloseWait, errno: Errno::EPIPE } => writer(view, at),
        Occasion::On(Moment::ResetSent, at) => closer(view, at),
        _ => Verdict::No,
    }
}

/// The end that wrote.
fn writer(view: &View<'_>, at: Time) -> Verdict {
    let Some(end) = view.end else { return Verdict::No };
    let Some((_, before)) = end.reset_received else { return Verdict::No };
    let written = before.unacked() + before.unsent();
    // Nothing written: the RST answers no write (a keepalive probe, or an abort of the peer's own accord).
    if written == 0 || before.queued() || before.dead() {
        return Verdict::No;
    }
    // The end that closed would have reset without the write, or still has a process, and is told of.
    if cause::of_reset(view) == Some(Cause::NoFinWait2) || cause::peer_reset_itself(view) {
        return Verdict::No;
    }
    let answer =
        view.peer_parked.and_then(super::Parked::reset_sent).or(view.peer.and_then(|peer| peer.reset_sent));
    match answer {
        Some(SentReset { answered: None, .. }) => return Verdict::No,
        None if view.loose.is_none() && !view.last => return Verdict::Wait,
        _ => {}
    }
    let (owner, peer) = (owner(view), peer_owner(view));
    let name = comm(owner, "The process");
    let first = comm(peer, &end.tuple().remote_address().to_string());
    let fin = Time::seen(end.snapshot.past.fin_received_ns);
    let kept = fin.map(|fin| at.since(fin));
    let how_long = match kept {
        Some(kept) if crossed(kept, before.socket.srtt) => {
            format!("{name} wrote {} {} later, as the close was on its way", bytes(written), spoken(kept))
        }
        Some(kept) => {
            format!(
                "{name} kept its socket in CLOSE_WAIT for {} and then wrote {}",
                spoken(kept),
                bytes(written)
            )
        }
        None => format!("{name} kept its socket in CLOSE_WAIT and then wrote {}", bytes(written)),
    };
    let open = fin.zip(Time::seen(end.snapshot.past.established_ns)).filter(|(fin, since)| since < fin);
    let here = open.map_or(String::new(), |(fin, since)| {
        format!("{first} closed {} after the connection was established.", spoken(fin.since(since)))
    });
    let mut facts = vec![("unacked_bytes", Fact::Count(written.into()))];
    facts.extend(kept.map(|kept| ("close_wait_ns", Fact::Count(nanoseconds(kept)))));
    facts.push(("eof_read", Fact::Flag(end.snapshot.past.eof_read_ns != 0)));
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::EPIPE),
        facts,
        advice: advise(&PATTERN, &here),
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{first} closed first. {how_long}; the kernel answered RST. The next write fails with EPIPE and SIGPIPE.",
            ),
        )
    }))
}

/// The end that had closed, told when the one that wrote is not on this host.
fn closer(view: &View<'_>, at: Time) -> Verdict {
    let orphan = view.parked.and_then(super::Parked::reset_sent);
    let full = view.end.filter(|end| end.snapshot.dead()).and_then(|end| end.reset_sent);
    let Some(SentReset { answered: Some(segment), .. }) = orphan.or(full) else { return Verdict::No };
    if segment.payload == 0 || view.peer.is_some() {
        return Verdict::No; // nothing was written, or the writer tells
    }
    if !view.last {
        return Verdict::Wait;
    }
    let owner = owner(view);
    let remote = segment.tuple.remote_address();
    let closed = view.parked.and_then(super::Parked::closed).or(peer_closed(view));
    let ago = closed.map_or(String::new(), |closed| format!(" {} before", spoken(at.since(closed))));
    let mut facts = vec![("refused_bytes", Fact::Count(segment.payload.into()))];
    facts.extend(closed.map(|closed| ("closed_for_ns", Fact::Count(nanoseconds(at.since(closed))))));
    Verdict::Found(Box::new(Found {
        facts,
        ..Found::of(
            &PATTERN,
            0.95,
            format!(
                "{remote} wrote {} to a connection that {} had closed{ago}; the kernel answered RST, and the writer gets EPIPE.",
                bytes(segment.payload),
                who(owner, "a process here"),
            ),
        )
    }))
}

/// Whether the write left before the close could be known: within about two round trips.
fn crossed(kept: Duration, srtt: u32) -> bool {
    kept < Duration::from_micros(u64::from(srtt) / 8 * 2)
}
