//! P60: a process does not close what its peer has closed.

use super::{
    Found, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{advise, owner, peer_owner, spoken, who},
};
use crate::{
    event::Presence,
    finding::{Fact, Severity},
    time::{Time, nanoseconds},
};
use std::time::Duration;
use tracer_common::State;

/// How long CLOSE_WAIT is nobody's fault.
pub(super) static AFTER: Setting = Setting {
    key: "close_wait_leak.after",
    default: Value::Time(Duration::from_mins(1)),
    meaning: "how long a socket may stay in CLOSE_WAIT before it counts as leaked",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "close_wait_leak",
    severity: Severity::Warning,
    triggers: &[Trigger::Stay(State::CloseWait, &AFTER)],
    supersedes: &["peer_stuck_in_close_wait"],
    settings: &[&AFTER],
    errnos: &[],
    needs: &["holder"],
    text: Text {
        en: Words {
            title: "sockets left in CLOSE_WAIT",
            seen: "\
The peer closed; the process still holds its socket, in CLOSE_WAIT, and nothing is on its way out. Linux has no \
timeout for this state: the socket stays until the process closes it or ends.",
            means: "\
A close() is missing after end of file. If end of file was read, the program saw it and went on; if not, it does \
not watch the socket any more. Each such socket keeps a descriptor, until accept() and open() fail with EMFILE. A \
single old one may be a half-close on purpose (ssh, rsync); a number that grows is a leak.",
            advice: "\
Close the socket when a read returns 0, on every path, also after errors and in connection pools. The \
descriptors are listed with the finding.",
            confirm: "ss -tnp state close-wait",
        },
        zh: Words {
            title: "CLOSE_WAIT 泄漏",
            seen: "对方已关闭;进程仍持有套接字,停在 CLOSE_WAIT,也没有数据要发出。Linux 对这个状态没有超时:直到进程关闭它或退出为止。",
            means: "\
读到文件结束之后缺少 close()。如果已读到文件结束,说明程序看到了却没有处理;如果没有,说明程序不再关注这个套接字。每个这样的套接字占用一个描述符,直到 accept() 和 open() 返回 EMFILE。单独一个旧的可能是有意的半关闭(ssh、rsync);数量增长就是泄漏。",
            advice: "读返回 0 时就关闭套接字,每条路径都要,包括出错之后和连接池中。描述符随结果列出。",
            confirm: "ss -tnp state close-wait",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a server never closes",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in app[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>CLOSE_WAIT
                6ms      s eof
                60010ms  s holder app[17] fd=9
                60010ms  holders-done
            ",
            expect: &["close_wait_leak warning errno=none local=app[17] fd=9 complete"],
        },
        Scenario {
            name: "both ends here: one finding names both",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in app[17]
                0ms      c SYN_SENT>ESTABLISHED
                0ms      s SYN_RECV>ESTABLISHED
                5ms      c ESTABLISHED>FIN_WAIT1 owned
                5ms      s ESTABLISHED>CLOSE_WAIT
                5.1ms    c FIN_WAIT2>CLOSE dead
                59950ms  c found FIN_WAIT2
                60010ms  s holder app[17] fd=9
                60010ms  holders-done
            ",
            expect: &["close_wait_leak warning local=app[17] peer=curl[42] also=peer_stuck_in_close_wait"],
        },
        Scenario {
            name: "a look that began too early answers nothing",
            trace: "
                a = 10.0.0.2:8080 > 10.0.0.1:40000 in app[17]
                b = 10.0.0.2:8080 > 10.0.0.1:40001 in app[17]
                0ms      a SYN_RECV>ESTABLISHED
                0ms      b SYN_RECV>ESTABLISHED
                5ms      a ESTABLISHED>CLOSE_WAIT
                9ms      b ESTABLISHED>CLOSE_WAIT
                60007ms  a holder app[17] fd=9
                60007ms  b holder app[17] fd=10
                60020ms  holders-done began=60006
                61000ms  b holder app[17] fd=10
                61000ms  holders-done
            ",
            expect: &["close_wait_leak local=app[17] fd=9", "close_wait_leak local=app[17] fd=10"],
        },
        Scenario {
            name: "it closes in time",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in app[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>CLOSE_WAIT
                59000ms  s CLOSE_WAIT>LAST_ACK owned
                70000ms  holders-done
            ",
            expect: &[],
        },
        Scenario {
            name: "the record of its close was lost, but a look finds no holder",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in app[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>CLOSE_WAIT
                59000ms  lost 1
                60010ms  holders-done
            ",
            expect: &[],
        },
        Scenario {
            name: "a long answer is still being sent",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in app[17]
                0ms      s SYN_RECV>ESTABLISHED
                5ms      s ESTABLISHED>CLOSE_WAIT
                60010ms  s holder app[17] fd=9 unacked=4096
                60010ms  holders-done
            ",
            expect: &[],
        },
        Scenario {
            name: "it waits in the accept queue: no process has it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000 in
                0ms      s SYN_RECV>ESTABLISHED queued
                5ms      s ESTABLISHED>CLOSE_WAIT queued
                60010ms  holders-done
            ",
            expect: &[],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Stayed { at }, Some(end)) = (*view.occasion, view.end) else { return Verdict::No };
    if end.snapshot.state != State::CloseWait || end.snapshot.queued() {
        return Verdict::No;
    }
    match view.looked {
        None => return Verdict::Look,
        Some(Presence::In(State::CloseWait)) => {}
        Some(_) => return Verdict::No,
    }
    if end.snapshot.undelivered() > 0 {
        return Verdict::WaitUntil(view.now + view.host.time(&AFTER)); // an answer is on its way
    }
    let owner = owner(view);
    let entered = Time::seen(end.snapshot.past.fin_received_ns);
    let (stayed, at_least) = match entered.or(end.since) {
        Some(since) => (at.since(since), if entered.is_some() { "" } else { "at least " }),
        None => return Verdict::No,
    };
    let told = end.snapshot.past.eof_read_ns != 0;
    let fd = owner.and_then(|owner| owner.fd).map_or(String::new(), |fd| format!(" (fd {fd})"));
    let read = if told { "has read the end of file" } else { "has not read the end of file" };
    let peer = who(peer_owner(view), &end.tuple().remote_address().to_string());
    let mut facts = vec![
        ("close_wait_ns", Fact::Count(nanoseconds(stayed))),
        ("eof_read", Fact::Flag(told)),
        ("unread_bytes", Fact::Count(end.snapshot.unread().into())),
        ("leaked_so_far", Fact::Count(view.alike as u64)),
    ];
    facts.extend(owner.and_then(|owner| owner.fd).map(|fd| ("fd", Fact::Count(fd.into()))));
    let peer_waits = view.peer_parked.is_some();
    let here = match owner.map(|owner| (owner.fd, who(Some(owner), ""))) {
        Some((Some(fd), process)) => format!("Here it is descriptor {fd} of {process}."),
        _ => String::new(),
    };
    Verdict::Found(Box::new(Found {
        facts,
        advice: advise(&PATTERN, &here),
        also: if peer_waits { vec!["peer_stuck_in_close_wait"] } else { vec![] },
        ..Found::of(
            &PATTERN,
            // One may be a half-close on purpose; a growing number is none.
            match view.alike {
                0 | 1 => 0.6,
                2 => 0.75,
                _ => 0.9,
            },
            format!(
                "{peer} closed {at_least}{} ago; {} still holds its socket{fd} in CLOSE_WAIT. It {read} and has not closed.",
                spoken(stayed),
                who(owner, "a process"),
            ),
        )
    }))
}
