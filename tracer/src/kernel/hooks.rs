//! The hooks: which kernel event each program takes, and what is lost without it. The only such list.

/// A kernel event and the program that takes it.
#[derive(Debug)]
pub struct Hook {
    /// Name of the program, and of its files on both sides of the kernel boundary.
    pub program: &'static str,
    /// Where it goes.
    pub point: Point,
    /// Whether it fires in interrupts: a second program then takes what meets the first one running on its CPU.
    pub nests: bool,
    /// Whether it makes every system call of the host slower, so that it is attached only where it is needed.
    pub taxes_calls: bool,
    /// Whether it is attached only where a pattern that is on needs it.
    pub optional: bool,
    /// What cannot be told without it, for a person.
    pub without: &'static str,
}

/// Where a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A BTF tracepoint.
    Tracepoint(&'static str),
    /// The tracepoints at the exit of these system calls; where they cannot be had, the one at the exit of all, which
    /// another program takes.
    Calls(&'static [&'static str]),
    /// A BPF iterator, and the members its context must have at 8-byte steps.
    Iterator(&'static str, &'static [&'static str]),
}

impl Hook {
    /// The names of its programs.
    pub fn programs(&self) -> impl Iterator<Item = String> + use<> {
        let second = self.nests.then(|| format!("{}_nested", self.program));
        [self.program.to_owned()].into_iter().chain(second)
    }
}

impl Point {
    /// The name of the kernel's event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint(name) | Self::Iterator(name, _) => name,
            Self::Calls(_) => super::calls::EACH,
        }
    }
}

/// Every hook. The first is the one without which there is nothing to tell.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "state_change",
        point: Point::Tracepoint("inet_sock_set_state"),
        nests: true,
        taxes_calls: false,
        optional: false,
        without: "everything: no connection is seen",
    },
    Hook {
        program: "reset_received",
        point: Point::Tracepoint("tcp_receive_reset"),
        nests: true,
        taxes_calls: false,
        optional: false,
        without: "whether an error came with a RST",
    },
    Hook {
        program: "reset_sent",
        point: Point::Tracepoint("tcp_send_reset"),
        nests: true,
        taxes_calls: false,
        optional: false,
        without: "who sent a RST from this host, and why",
    },
    Hook {
        program: "send_length",
        point: Point::Tracepoint("sock_send_length"),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "errnos of send calls as they happen, and owners of accepted sockets",
    },
    Hook {
        program: "receive_length",
        point: Point::Tracepoint("sock_recv_length"),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "errnos of receive calls as they happen, end of file, and owners of accepted sockets",
    },
    Hook {
        program: "error",
        point: Point::Tracepoint("inet_sk_error_report"),
        nests: true,
        taxes_calls: false,
        optional: false,
        without: "the error events of --events",
    },
    Hook {
        program: "retransmit",
        point: Point::Tracepoint("tcp_retransmit_skb"),
        nests: true,
        taxes_calls: false,
        optional: false,
        without: "ICMP errors on live connections, and segments that do not leave this host",
    },
    Hook {
        program: "drop",
        point: Point::Tracepoint("kfree_skb"),
        nests: true,
        taxes_calls: false,
        optional: true,
        without: "RSTs and SYNs that an open connection refuses",
    },
    Hook {
        program: "synack",
        point: Point::Tracepoint("tcp_retransmit_synack"),
        nests: true,
        taxes_calls: false,
        optional: true,
        without: "clients whose handshake does not come to its end, and queues of half-open connections",
    },
    Hook {
        program: "ttl",
        point: Point::Tracepoint("tcp_probe"),
        nests: true,
        taxes_calls: false,
        optional: true,
        without: "whether a RST came from where the peer is",
    },
    Hook {
        program: "call",
        point: Point::Calls(&["connect", "accept", "accept4", "shutdown", "setsockopt", "getsockopt"]),
        nests: false,
        taxes_calls: true,
        optional: true,
        without: "errnos of connect(), accept() and socket options, and what SO_ERROR told",
    },
    Hook {
        program: "signal",
        point: Point::Tracepoint("signal_generate"),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "whether a broken connection sent SIGPIPE",
    },
    Hook {
        program: "exit",
        point: Point::Tracepoint("sched_process_exit"),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "processes that SIGPIPE killed",
    },
    Hook {
        program: "cgroup",
        point: Point::Tracepoint("cgroup_mkdir"),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "names of cgroups and containers that are gone when something is told of them",
    },
    Hook {
        program: "sample",
        point: Point::Iterator("tcp", &["meta", "sk_common"]),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "sockets older than the tracer",
    },
    Hook {
        program: "quiet",
        point: Point::Iterator("task_file", &["meta", "task", "fd", "file"]),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "connections that stall or are silent: nothing else shows them",
    },
    Hook {
        program: "holder",
        point: Point::Iterator("task_file", &["meta", "task", "fd", "file"]),
        nests: false,
        taxes_calls: false,
        optional: false,
        without: "owners of sockets older than the tracer, and leaks: they are confirmed by their descriptors",
    },
];
