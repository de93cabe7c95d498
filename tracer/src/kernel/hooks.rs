//! The hooks: which kernel events and functions each program takes, and what is lost without it. The only such list.

use super::functions::{
    Ends::{AtEnd, AtStart},
    Function,
};
use tracer_common::layout::{ABSENT, Numbers};

/// A kernel event, or functions that tell the same, and the programs that take it.
#[derive(Debug)]
pub struct Hook {
    /// Name of the program, and of its files on both sides of the kernel boundary.
    pub program: &'static str,
    /// Where it goes.
    pub point: Point,
    /// Functions of which all that are not optional tell the same, perhaps more.
    pub functions: &'static [Function],
    /// What the event does not show on a kernel with these numbers, or what is bad about it.
    pub lacks: fn(&Numbers) -> Option<Lack>,
    /// Where a second program takes what meets the first one running on its CPU.
    pub nests: Nests,
    /// Whether the event makes every system call of the host slower, so that it is attached only where it is needed.
    pub taxes_calls: bool,
    /// Whether it is attached only where a pattern that is on needs it.
    pub optional: bool,
    /// Whether it is needed only where what is kept beside sockets is found by their address.
    pub by_address: bool,
    /// What cannot be told without it, for a person.
    pub without: &'static str,
}

/// Where a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A BTF tracepoint.
    Tracepoint(&'static str),
    /// To its functions alone, of which this is one: no event tells the same, and kernel probes are taken for it where
    /// something else needs them.
    Functions(&'static str),
    /// The tracepoints at the exit of these system calls; where they cannot be had, the one at the exit of all, which
    /// another program takes.
    Calls(&'static [&'static str]),
    /// A BPF iterator, and the members its context must have at 8-byte steps.
    Iterator(&'static str, &'static [&'static str]),
}

/// Where a hook has a second program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nests {
    /// Nowhere: it fires seldom, and in process context.
    Never,
    /// Where a process can be taken off its CPU in the midst of the first one: another's events would not be seen until
    /// it is back.
    WherePreempted,
    /// Nowhere: what misses the first one is noticed by another hook, if anything is lost by it.
    Noticed,
    /// Everywhere: it fires in interrupts.
    Always,
}

/// Why the functions are better than the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It does not show this, for a person.
    Sight(&'static str),
    /// It costs more.
    Price,
}

impl Hook {
    /// The names of its programs at the event.
    pub fn programs(&self, numbers: &Numbers) -> impl Iterator<Item = String> + use<> {
        let nests = match self.nests {
            Nests::Never | Nests::Noticed => false,
            Nests::WherePreempted => numbers.preemptible != 0,
            Nests::Always => true,
        };
        let second = nests.then(|| format!("{}_nested", self.program));
        [self.program.to_owned()].into_iter().chain(second)
    }
}

impl Point {
    /// The name of the kernel's event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint(name) | Self::Iterator(name, _) | Self::Functions(name) => name,
            Self::Calls(_) => super::calls::EACH,
        }
    }
}

/// A hook in interrupts, at the tracepoint of this name.
const fn event(program: &'static str, tracepoint: &'static str) -> Hook {
    Hook {
        program,
        point: Point::Tracepoint(tracepoint),
        functions: &[],
        lacks: |_| None,
        nests: Nests::Always,
        taxes_calls: false,
        optional: false,
        by_address: false,
        without: "",
    }
}

/// The same in process context alone.
const fn act(program: &'static str, tracepoint: &'static str) -> Hook {
    Hook { nests: Nests::Never, ..event(program, tracepoint) }
}

/// An iterator, and the members its context must have.
const fn iterator(program: &'static str, name: &'static str, members: &'static [&'static str]) -> Hook {
    Hook { point: Point::Iterator(name, members), ..act(program, name) }
}

/// The context of `iter/task_file`.
const TASK_FILE: &[&str] = &["meta", "task", "fd", "file"];

/// What `nf_send_reset()` takes, since Linux 5.11.
/// <https://github.com/torvalds/linux/blob/v6.12/include/net/netfilter/ipv4/nf_reject.h>
const REJECT: &[&str] = &["struct net *", "struct sock *", "sk_buff *"];

/// Every hook. The first is the one without which there is nothing to tell.
pub const HOOKS: &[Hook] = &[
    Hook {
        functions: &[Function::new(
            "state_change",
            &["inet_sk_state_store"],
            AtStart,
            &["struct sock *", "int"],
        )],
        without: "everything: no connection is seen",
        ..event("state_change", "inet_sock_set_state")
    },
    Hook {
        functions: &[Function::new("reset_received", &["tcp_reset"], AtStart, &["struct sock *"])],
        without: "whether an error came with a RST",
        ..event("reset_received", "tcp_receive_reset")
    },
    Hook {
        functions: &[
            Function::new("reset_sent_v4", &["tcp_v4_send_reset"], AtStart, &["struct sock *", "sk_buff *"]),
            Function::new("reset_sent_v6", &["tcp_v6_send_reset"], AtStart, &["struct sock *", "sk_buff *"]),
            Function::new("reset_sent_active", &["tcp_send_active_reset"], AtStart, &["struct sock *"]),
        ],
        lacks: |numbers| {
            let lack = Lack::Sight("RSTs for which this host has no full socket");
            (numbers.reset_reason_argument == ABSENT).then_some(lack)
        },
        without: "who sent a RST from this host, and why",
        ..event("reset_sent", "tcp_send_reset")
    },
    Hook {
        functions: &[
            Function::new("send_length", &["tcp_sendmsg"], AtEnd, &["struct sock *", "struct msghdr *"]),
            Function::new(
                "send_page",
                &["tcp_sendpage"],
                AtEnd,
                &["struct sock *", "struct page *", "int", "size_t", "int"],
            )
            .if_there(),
        ],
        nests: Nests::WherePreempted,
        without: "errnos of send calls as they happen, and owners of accepted sockets",
        ..act("send_length", "sock_send_length")
    },
    Hook {
        functions: &[Function::new("receive_length", &["tcp_recvmsg"], AtEnd, &["struct sock *"])],
        nests: Nests::WherePreempted,
        without: "errnos of receive calls as they happen, end of file, and owners of accepted sockets",
        ..act("receive_length", "sock_recv_length")
    },
    Hook {
        functions: &[Function::new(
            "error",
            &["sk_error_report", "sock_def_error_report"],
            AtStart,
            &["struct sock *"],
        )],
        without: "the error events of --events",
        ..event("error", "inet_sk_error_report")
    },
    Hook {
        functions: &[Function::new(
            "retransmit",
            &["__tcp_retransmit_skb"],
            AtEnd,
            &["struct sock *", "sk_buff *"],
        )],
        lacks: |numbers| {
            let lack = Lack::Sight("segments sent again that do not leave this host");
            // A firewall's word, and what timers have counted, tell it too.
            let unseen = [numbers.retransmit_result_argument, numbers.drop_reason_argument];
            (unseen == [ABSENT; 2]).then_some(lack)
        },
        without: "ICMP errors on live connections, and segments that do not leave this host",
        ..event("retransmit", "tcp_retransmit_skb")
    },
    Hook {
        optional: true,
        without: "RSTs and SYNs that an open connection refuses, and what keeps segments on this host",
        ..event("drop", "kfree_skb")
    },
    Hook {
        functions: &[Function::new(
            "synack",
            &["tcp_rtx_synack"],
            AtStart,
            &["struct sock *", "struct request_sock *"],
        )],
        optional: true,
        without: "clients whose handshake does not come to its end, and queues of half-open connections",
        ..event("synack", "tcp_retransmit_synack")
    },
    Hook {
        functions: &[Function::new(
            "ttl",
            &["tcp_rcv_established"],
            AtStart,
            &["struct sock *", "sk_buff *"],
        )
        .alone()],
        nests: Nests::Noticed,
        optional: true,
        without: "whether a RST came from where the peer is",
        ..event("ttl", "tcp_probe")
    },
    Hook {
        point: Point::Calls(&["connect", "accept", "accept4", "shutdown", "setsockopt", "getsockopt"]),
        functions: &[
            Function::new("call_connect", &["__sys_connect"], AtEnd, &["int", "", "int"]).exactly(),
            Function::new("call_accept", &["__sys_accept4"], AtEnd, &["int", "", "", "int"]).exactly(),
            Function::new("call_shutdown", &["__sys_shutdown"], AtEnd, &["int", "int"]).exactly(),
            Function::new("call_setsockopt", &["__sys_setsockopt"], AtEnd, &["int", "int", "int", "", "int"])
                .exactly(),
            Function::new("call_getsockopt", &["__sys_getsockopt"], AtEnd, &["int", "int", "int", "", ""])
                .exactly(),
        ],
        lacks: |_| Some(Lack::Price),
        nests: Nests::WherePreempted,
        taxes_calls: true,
        optional: true,
        without: "errnos of connect(), accept() and socket options, and what SO_ERROR told",
        ..act("call", "")
    },
    Hook {
        point: Point::Functions("nf_send_reset"),
        functions: &[
            Function::new("firewall_reset_v4", &["nf_send_reset"], AtStart, REJECT)
                .of_module("nf_reject_ipv4"),
            Function::new("firewall_reset_v6", &["nf_send_reset6"], AtStart, REJECT)
                .of_module("nf_reject_ipv6"),
        ],
        without: "whether a RST came from a firewall rule of this host",
        ..act("firewall_reset", "")
    },
    Hook { without: "whether a broken connection sent SIGPIPE", ..act("signal", "signal_generate") },
    Hook { without: "processes that SIGPIPE killed", ..act("exit", "sched_process_exit") },
    Hook {
        without: "names of cgroups and containers that are gone when something is told of them",
        ..act("cgroup", "cgroup_mkdir")
    },
    Hook {
        functions: &[Function::new("destroy", &["tcp_v4_destroy_sock"], AtStart, &["struct sock *"])],
        by_address: true,
        without: "which socket an address is, on kernels whose programs have no storage of sockets",
        ..event("destroy", "tcp_destroy_sock")
    },
    Hook { without: "sockets older than the tracer", ..iterator("sample", "tcp", &["meta", "sk_common"]) },
    Hook {
        without: "connections that stall or are silent: nothing else shows them",
        ..iterator("quiet", "task_file", TASK_FILE)
    },
    Hook {
        without: "owners of sockets older than the tracer, and leaks: they are confirmed by their descriptors",
        ..iterator("holder", "task_file", TASK_FILE)
    },
];
