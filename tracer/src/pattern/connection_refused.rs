//! P50: nothing listens where the connection was to go.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{comm, owner, spoken, who},
};
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::nanoseconds,
};
use tracer_common::State;

pub(super) static PATTERN: Pattern = Pattern {
    id: "connection_refused",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Failed)],
    supersedes: &[],
    settings: &[],
    errnos: &["ECONNREFUSED"],
    needs: &["reset_received"],
    text: Text {
        en: Words {
            title: "connection refused",
            seen: "\
A socket went from SYN_SENT to CLOSE because a RST answered its SYN. connect() fails with ECONNREFUSED; a \
non-blocking connect learns it from poll() and SO_ERROR.",
            means: "\
The packet arrived, and the host that answered has no listener on that port and address: the service is down, \
restarting, listens on another address (127.0.0.1 is not ::1), or a firewall rejects with a reset. A socket that \
is bound but does not listen refuses as well.

When the same process reaches the same port at another address at once, as with localhost (::1 first, then \
127.0.0.1), nothing was lost and the finding is info.",
            advice: "\
Check that the service runs, and on which address it listens. If it was restarted, hand its listener over \
(socket activation, SO_REUSEPORT) instead of closing it.",
            confirm: "ss -ltn 'sport = :PORT'",
        },
        zh: Words {
            title: "连接被拒绝",
            seen: "套接字从 SYN_SENT 变为 CLOSE,因为对方用 RST 回答了 SYN。connect() 返回 ECONNREFUSED;非阻塞连接通过 poll() 和 SO_ERROR 得知。",
            means: "\
报文已经到达,但应答的主机在该地址和端口上没有监听者:服务没有运行、正在重启、监听在另一个地址(127.0.0.1 不是 ::1),或者防火墙用 RST 拒绝。只绑定而不监听的套接字同样会拒绝。

如果同一进程随即在另一个地址上连通了同一端口(例如 localhost 先试 ::1 再试 127.0.0.1),则没有损失,级别为 info。",
            advice: "确认服务在运行,以及它监听在哪个地址。如果是重启造成的,应移交监听套接字(socket activation、SO_REUSEPORT),而不是先关闭再打开。",
            confirm: "ss -ltn 'sport = :PORT'",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "nothing listens",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                1ms    c loose reason=NO_SOCKET answers=S:0
                1.01ms c reset-received
                1.02ms c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning ECONNREFUSED local=curl[42] complete"],
        },
        Scenario {
            name: "its listener was closed a moment ago: a restart",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[42]
                0ms     l CLOSE>LISTEN owned
                900ms   l LISTEN>CLOSE owned
                1000ms  c CLOSE>SYN_SENT owned
                1001ms  c loose reason=NO_SOCKET answers=S:0
                1001ms  c reset-received
                1001ms  c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "the host that refuses is elsewhere",
            trace: "
                c = [2001:db8::1]:40000 > [2001:db8::2]:81 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                9ms    c reset-received
                9.01ms c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "a rule of this host rejects the SYN, and nobody is told to look for a listener",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c rejected answers=S:0
                0.2ms  c reset-received
                0.3ms  c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["connection_refused warning ECONNREFUSED local=curl[42] complete"],
        },
        Scenario {
            name: "a rule of this host has rejected an earlier SYN; a router says port unreachable to this one",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                0.1ms  c rejected answers=S:0
                1100ms c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["icmp_unreachable warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "localhost is refused at ::1 and answers at 127.0.0.1",
            trace: "
                a = [::1]:40000 > [::1]:8080 out curl[42]
                b = 127.0.0.1:40001 > 127.0.0.1:8080 out curl[42]
                0ms    a CLOSE>SYN_SENT owned
                0.1ms  a reset-received
                0.1ms  a SYN_SENT>CLOSE err=ECONNREFUSED
                0.2ms  b CLOSE>SYN_SENT owned
                0.3ms  b SYN_SENT>ESTABLISHED
            ",
            expect: &["connection_refused info ECONNREFUSED"],
        },
        Scenario {
            name: "a router says port unreachable: no RST came",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms c CLOSE>SYN_SENT owned
                1ms c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            expect: &["icmp_unreachable warning ECONNREFUSED local=curl[42]"],
        },
        Scenario {
            name: "the caller gives up first",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms c CLOSE>SYN_SENT owned
                9ms c SYN_SENT>CLOSE owned dead
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost while it happened",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
                0ms    c CLOSE>SYN_SENT owned
                9ms    c reset-received
                9.01ms c SYN_SENT>CLOSE err=ECONNREFUSED
                9.02ms lost 3
            ",
            expect: &["connection_refused warning missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::Failed { at, old: State::SynSent, errno: Errno::ECONNREFUSED }, Some(end)) =
        (*view.occasion, view.end)
    else {
        return Verdict::No;
    };
    if end.reset_received.is_none() {
        return Verdict::No; // an ICMP error: a router or firewall spoke, not the host
    }
    if !view.last && end.retried.is_none() {
        return Verdict::Wait; // for a success elsewhere, whose absence makes this a warning
    }
    let address = end.tuple().remote_address();
    let owner = owner(view);
    let name = comm(owner, "The process");
    let age = end.snapshot.age(at);
    let took = age.map_or(String::new(), |took| format!(" after {}", spoken(took)));
    let nobody = view.loose.is_some_and(|loose| at.since(loose.at) < view.host.time(&super::HOLD));
    let closed = view.listener.and_then(|listener| Some((listener, listener.closed.as_ref()?.0)));
    let closed = closed.filter(|(_, when)| nobody && *when <= at);
    let own_rule = view.rejected_here();
    let mut message = if own_rule {
        format!(
            "{} was refused{took}: a firewall rule of this host rejected its SYN to {address} with a RST.",
            who(owner, "A process")
        )
    } else if let Some((listener, when)) = closed {
        format!(
            "{} was refused by {address}{took}: nothing listens there any more, {} closed its listener {} \
             before.",
            who(owner, "A process"),
            who(listener.owner, "a process"),
            spoken(at.since(when)),
        )
    } else if nobody {
        format!("{} was refused by {address}{took}: nothing listens there.", who(owner, "A process"))
    } else {
        format!("{} was refused by {address}{took}: a RST answered the SYN.", who(owner, "A process"))
    };
    if end.retried.is_some() {
        message = format!("{message} {name} then reached port {} at another address.", address.port());
    }
    let mut facts = vec![
        ("no_listener_seen", Fact::Flag(nobody)),
        ("retransmits", Fact::Count(end.snapshot.socket.retransmits.into())),
    ];
    facts.extend(own_rule.then_some(("own_firewall", Fact::Flag(true))));
    facts.extend(age.map(|took| ("after_ns", Fact::Count(nanoseconds(took)))));
    facts.extend(
        closed.map(|(_, when)| ("listener_closed_before_ns", Fact::Count(nanoseconds(at.since(when))))),
    );
    Verdict::Found(Box::new(Found {
        severity: if end.retried.is_some() { Severity::Info } else { PATTERN.severity },
        errno: Some(Errno::ECONNREFUSED),
        facts,
        ..Found::of(&PATTERN, 0.99, message)
    }))
}
