//! P21: an administrator destroyed the socket: the one place where Linux gives ECONNABORTED.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, owner, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "socket_destroyed",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &["connection_reset"],
    settings: &[],
    errnos: &["ECONNABORTED"],
    needs: &[],
    text: Text {
        en: Words {
            title: "connection destroyed by an administrator",
            seen: "\
Somebody with the right to do so destroyed the socket: `ss -K`, SOCK_DESTROY of a network manager, or a BPF program. \
Its process gets ECONNABORTED from the next call, the other end a RST and ECONNRESET.",
            means: "\
This is where ECONNABORTED comes from on Linux; accept() never gives it for a connection that was reset in the \
queue, whatever POSIX says. Network managers do it when an address goes away, service meshes when a backend does.",
            advice: "Find out who destroyed it and why; the process itself has done nothing wrong.",
            confirm: "journalctl --since -5min | grep -iE 'address|route|link'",
        },
        zh: Words {
            title: "连接被管理员销毁",
            seen: "\
有权限的一方销毁了这个套接字:`ss -K`、网络管理器的 SOCK_DESTROY,或 BPF 程序。它的进程在下一次调用时得到 ECONNABORTED,对方收到 RST 和 ECONNRESET。",
            means: "\
在 Linux 上 ECONNABORTED 就来自这里;无论 POSIX 怎么说,accept() 从不为队列中被复位的连接返回它。网络管理器在地址消失时这样做,服务网格在后端消失时这样做。",
            advice: "查清是谁、为什么销毁了它;进程本身没有做错什么。",
            confirm: "journalctl --since -5min | grep -iE 'address|route|link'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "killed by ss, both ends here",
            trace: "
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                s = swap c in nginx[17]
                0ms      c CLOSE>SYN_SENT owned
                0.1ms    c SYN_SENT>ESTABLISHED
                0.1ms    s SYN_RECV>ESTABLISHED
                100ms    s reset-received
                100.01ms s ESTABLISHED>CLOSE err=ECONNRESET
                100.02ms c reset-sent reason=TCP_STATE owned by=ss[99]
                100.03ms c ESTABLISHED>CLOSE err=ECONNABORTED owned by=ss[99]
            ",
            expect: &[
                "socket_destroyed warning ECONNABORTED local=curl[42] peer=nginx[17] reason=TCP_STATE also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "while it connects",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                100.03ms c SYN_SENT>CLOSE err=ECONNABORTED owned by=ss[99]
            ",
            expect: &["socket_destroyed warning ECONNABORTED local=curl[42] peer=none reason=none"],
        },
        Scenario {
            name: "an orphan is destroyed: nobody is told",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                100.03ms c FIN_WAIT1>CLOSE err=ECONNABORTED owned dead by=ss[99]
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms      c CLOSE>SYN_SENT owned
                100.02ms lost 1
                100.03ms c ESTABLISHED>CLOSE err=ECONNABORTED owned by=ss[99]
            ",
            expect: &["socket_destroyed warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { old, errno: Errno::ECONNABORTED, .. }, Some(end)) = (*view.occasion, view.end)
    else {
        return Verdict::No;
    };
    if old == State::Listen || end.snapshot.dead() {
        return Verdict::No;
    }
    if view.peer.is_none() && old != State::SynSent && !view.last {
        return Verdict::Wait; // for the other end, which this finding names if it is here
    }
    let owner = owner(view);
    let actor =
        end.reset_sent.and_then(|sent| sent.by).filter(|by| owner.is_none_or(|owner| owner.pid != by.pid));
    let by = actor.map_or_else(|| "An administrator".to_owned(), |by| format!("{}[{}]", by.comm, by.pid));
    let mut facts = vec![("unacked_bytes", Fact::Count(end.snapshot.unacked().into()))];
    if actor.is_some() {
        facts.push(("destroyed_by", Fact::Text(by.clone())));
    }
    Verdict::Found(Box::new(Found {
        errno: Some(Errno::ECONNABORTED),
        facts,
        ..Found::of(
            &PATTERN,
            0.99,
            format!(
                "{by} destroyed the connection of {} to {}. The next call of {} fails with ECONNABORTED, the other end \
                 gets a RST.",
                who(owner, "a process"),
                end.tuple().remote_address(),
                comm(owner, "the process"),
            ),
        )
    }))
}
