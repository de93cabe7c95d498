//! What the engine is told: decoded records.

mod snapshot;

pub use snapshot::{Owner, Snapshot, Source};

use crate::{death::Death, errno::Errno, name::Comm, time::Time};
use std::time::Duration;
use tracer_common::{
    State,
    counter::{Cell, Counter},
    record::{
        reset_sent::Segment,
        socket::{OWN_NUMBER, Past, Tuple},
    },
};

/// A socket's cookie: unique for the life of the system, inherited by a TIME_WAIT remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// As the kernel knows it; none where it gave none, and the programs have numbered the socket themselves.
    #[must_use]
    pub fn of_kernel(self) -> Option<u64> {
        Some(self.0).filter(|cookie| *cookie != 0 && *cookie < OWN_NUMBER)
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// On which CPU.
    pub cpu: u32,
    /// The process that ran: the actor or a bystander (see [`Snapshot::owned`]).
    pub task: Task,
    /// What.
    pub what: What,
}

/// The process and thread that ran at an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The process's name.
    pub comm: Comm,
}

/// Where a process is, besides its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its cgroup of version 2, by the inode number of its directory; 0 when unknown.
    pub cgroup: u64,
    /// Its number in its own pid namespace; 0 when unknown.
    pub ns_pid: u32,
}

/// The kinds of event.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as what they hold")]
pub enum What {
    /// A socket changes its state.
    StateChange { end: Snapshot, old: State, new: State },
    /// A RST goes out.
    ResetSent { origin: Origin, segment: Option<Segment>, reason: Option<i32> },
    /// A RST is taken as valid.
    ResetReceived { end: Snapshot },
    /// A process is woken because of an error.
    Error { end: Snapshot },
    /// A send call failed.
    SendFailed { end: Snapshot, errno: Option<Errno> },
    /// A receive call failed.
    ReceiveFailed { end: Snapshot, errno: Option<Errno> },
    /// A receive call came upon the end of the stream where an answer was due.
    EofRead { end: Snapshot },
    /// A segment is sent again; why it did not leave this host, if that is known.
    Retransmit { end: Snapshot, refused: Option<Errno>, resent: Resent },
    /// A segment that came for an open connection is thrown away.
    Dropped { end: Snapshot, why: Drop, segment: Segment },
    /// A rule of a packet filter of this host answers a segment with a RST.
    Rejected { segment: Segment },
    /// A listener answers a SYN once more.
    HalfOpen(Box<HalfOpen>),
    /// A system call about a socket failed, or told of an error.
    Called(Box<Called>),
    /// A look at a listener's accept queue.
    Queue { cookie: Cookie, tuple: Tuple, look: QueueLook },
    /// The task's write to something broken sends it SIGPIPE.
    BrokenPipe { delivery: Delivery },
    /// The task's process dies of a signal.
    Exit { death: Death },
    /// A look at a socket.
    Sample { end: Snapshot },
    /// A look at a descriptor; the event's task is its holder.
    Holder { end: Snapshot, fd: u32, place: Place },
    /// A cgroup was made, or found: one of version 2 by its number; without one, where the event's task is in the older
    /// hierarchies.
    Cgroup { id: Option<u64>, path: Box<[u8]> },
    /// A look is over; it answers what was asked before it began.
    Answer { asked: Option<Cookie>, found: Presence, began: Time },
    /// Records were lost.
    Loss { counter: Counter, cell: Cell },
    /// Boot time and wall time were read; ticks a second of the kernel's timers, 0 while unknown.
    Clock { wall_minus_boot_ns: i64, hz: u32 },
    /// Time passed.
    Tick,
}

/// What is known of a segment that is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resent {
    /// Whether an ICMP error has come that was not told.
    pub soft: bool,
    /// Whether too much is sent again.
    pub lossy: bool,
    /// Whether full segments do not get through, and smaller ones do.
    pub blackhole: bool,
    /// Whether it is an orphan's, whose end has not been acknowledged for too long.
    pub stuck: bool,
    /// Over how long segments were counted; zero unless `lossy`.
    pub over: Duration,
    /// Segments sent in that time, those sent again included.
    pub sent: u32,
    /// Segments sent again in that time.
    pub again: u32,
    /// Its payload in bytes.
    pub length: u32,
    /// The largest payload a segment has.
    pub mss: u32,
    /// Segments after it that the peer has got.
    pub sacked: u32,
    /// How often in a row it was sent again.
    pub times: u32,
}

/// Why the kernel throws a segment away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// A RST inside the window, but not at its edge; answered by a challenge ACK (RFC 5961).
    Reset,
    /// A RST outside the window.
    ResetOutside,
    /// A SYN for a connection that is open; answered by a challenge ACK.
    Syn,
}

/// A SYN that a listener answers once more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfOpen {
    /// The listener's cookie.
    pub listener: Cookie,
    /// The connection that is asked for, as the listener's host sees it.
    pub tuple: Tuple,
    /// What was kept beside the listener.
    pub past: Past,
    /// How often it was answered again before.
    pub resent: u32,
    /// How often the answer's timer has run out; less than `resent` when the client repeats its SYN.
    pub timeouts: u32,
    /// Connections that wait for accept().
    pub depth: u32,
    /// The limit of that queue, and of the next.
    pub limit: u32,
    /// SYNs that were answered and wait for the client.
    pub half_open: u32,
    /// Whether the client's ACK has come, and the accept queue had no room for it.
    pub acked: bool,
}

impl HalfOpen {
    /// How often its SYN was answered again, this time included.
    pub const fn again(&self) -> u32 {
        self.resent + 1
    }

    /// Whether the client repeats its SYN: the timer alone does not account for every answer.
    pub const fn repeated(&self) -> bool {
        self.resent > self.timeouts
    }

    /// Whether the accept queue is what keeps the handshake from its end.
    pub const fn accept_queue_full(&self) -> bool {
        self.acked || self.depth > self.limit
    }

    /// Whether another SYN would find no room: `inet_csk_reqsk_queue_is_full()`.
    /// <https://github.com/torvalds/linux/blob/v6.12/include/net/inet_connection_sock.h#L283-L286>
    pub const fn syn_queue_full(&self) -> bool {
        self.half_open > self.limit
    }
}

/// A system call about a socket that failed, or told of an error; the event's task called.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// Which.
    pub call: Call,
    /// The descriptor.
    pub fd: i32,
    /// How it failed, or what `SO_ERROR` told.
    pub errno: Errno,
    /// Whether the descriptor is a socket's.
    pub socket: bool,
    /// Inode number of the network namespace: the socket's, or the caller's.
    pub netns: u32,
    /// Where the caller is.
    pub place: Place,
    /// The socket, if it is one of TCP: addresses, state, and the caller as its owner.
    pub end: Option<Snapshot>,
}

/// The system calls that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the calls are; options by level and number")]
pub enum Call {
    Connect,
    Accept,
    Shutdown,
    SetOption { level: i32, option: i32 },
    GetOption { level: i32, option: i32 },
    TakeError,
}

impl Call {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Shutdown => "shutdown",
            Self::SetOption { .. } => "setsockopt",
            Self::GetOption { .. } => "getsockopt",
            Self::TakeError => "getsockopt(SO_ERROR)",
        }
    }
}

/// A listener whose queue is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listens {
    /// Its cookie.
    pub cookie: Cookie,
    /// Where it listens.
    pub tuple: Tuple,
    /// Whether its listen() was seen: all that it has dropped was dropped since then.
    pub from_the_start: bool,
}

/// A listener's accept queue when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLook {
    /// Connections that wait.
    pub depth: u32,
    /// The limit; one more than that is full.
    pub limit: u32,
    /// SYNs and handshakes it has dropped since the last look.
    pub drops: u32,
    /// How often an accept queue of its namespace was full since then.
    pub overflows: u32,
    /// SYNs that its namespace has dropped since then because a queue of half-open connections was full.
    pub syn_drops: u32,
    /// SYNs that its namespace has answered by a cookie since then, for that reason.
    pub syn_cookies: u32,
}

impl QueueLook {
    /// This look and a later one, as one: as full as the fuller, with what both have counted.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        Self {
            depth: self.depth.max(later.depth),
            limit: later.limit,
            drops: self.drops.saturating_add(later.drops),
            overflows: self.overflows.saturating_add(later.overflows),
            syn_drops: self.syn_drops.saturating_add(later.syn_drops),
            syn_cookies: self.syn_cookies.saturating_add(later.syn_cookies),
        }
    }

    /// Whether another connection would be dropped: `sk_acceptq_is_full()`.
    /// <https://github.com/torvalds/linux/blob/v6.12/include/net/sock.h#L1029-L1032>
    pub fn full(&self) -> bool {
        self.depth > self.limit
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The thread gets it; where it is blocked, later.
    Delivered,
    /// The process ignores it.
    Ignored,
    /// Nobody knows.
    Unknown,
}

/// What a reset is sent for.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as what they hold")]
#[expect(
    clippy::large_enum_variant,
    reason = "an event is as large for other reasons, and most are of full sockets"
)]
pub enum Origin {
    /// A full socket.
    Full(Snapshot),
    /// What is left of one: the tuple, and `FIN_WAIT2` or `TIME_WAIT`.
    Remainder { cookie: Cookie, tuple: Tuple, substate: Option<State> },
    /// No connection of this host.
    Nothing,
}

/// What a look for one socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is in this state (a remainder: in this sub-state).
    In(State),
    /// It closes, and a process still has it.
    Held,
    /// It waits in an accept queue; no process has it yet.
    Queued,
    /// It is gone.
    Gone,
    /// It could not be asked.
    Unknown,
}
