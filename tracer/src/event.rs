//! What the engine is told: decoded records.

use crate::{death::Death, errno::Errno, name::Comm, time::Time};
use std::time::Duration;
use tracer_common::{
    State,
    counter::{Cell, Counter},
    record::{
        reset_sent::Segment,
        socket::{self, Past, Socket, Tuple},
    },
};

/// A socket's cookie: unique for the life of the system, inherited by a TIME_WAIT remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

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
    Retransmit { end: Snapshot, refused: Option<Errno> },
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
}

impl QueueLook {
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
    /// It waits in an accept queue; no process has it yet.
    Queued,
    /// It is gone.
    Gone,
    /// It could not be asked.
    Unknown,
}

/// A socket as a hook saw it, and its past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Who it is.
    pub cookie: Cookie,
    /// Its state.
    pub state: State,
    /// What the hook read.
    pub socket: Socket,
    /// What was kept beside it.
    pub past: Past,
}

/// How the owner of a socket was learnt, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// It holds a descriptor, found by a scan.
    Scan,
    /// It owns the listener the connection waits at.
    Accept,
    /// It called connect().
    Connect,
    /// It called listen().
    Listen,
    /// It sent or received.
    Io,
    /// It closed or shut down.
    Close,
}

/// A process that owns a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Its name when it was learnt.
    pub comm: Comm,
    /// How it was learnt.
    pub source: Source,
    /// Its descriptor, when a scan has seen it.
    pub fd: Option<u32>,
    /// Where it was when it was learnt.
    pub place: Place,
}

impl Snapshot {
    /// The connection.
    pub fn tuple(&self) -> Tuple {
        self.socket.tuple
    }

    /// Whether the event's task is the one that acts on the socket.
    pub fn owned(&self) -> bool {
        self.has(socket::OWNED)
    }

    /// Whether no process holds the socket any more.
    pub fn dead(&self) -> bool {
        self.has(socket::DEAD)
    }

    /// Whether the peer's FIN has arrived.
    pub fn fin_received(&self) -> bool {
        self.has(socket::DONE)
    }

    /// Whether the socket waits in an accept queue.
    pub fn queued(&self) -> bool {
        self.has(socket::NO_SOCKET) && !self.dead() && !self.has(socket::FAST_OPEN)
    }

    /// Whether this is a subflow of MPTCP, whose end is not the end of a connection.
    pub fn mptcp(&self) -> bool {
        self.has(socket::MPTCP)
    }

    /// Whether the socket is older than the tracer.
    pub fn preexisting(&self) -> bool {
        self.past.flags & socket::PREEXISTING != 0
    }

    /// The pending error.
    pub fn errno(&self) -> Option<Errno> {
        Errno::from_number(self.socket.err)
    }

    /// Bytes sent and not acknowledged, FIN and SYN included.
    pub fn unacked(&self) -> u32 {
        self.socket.snd_nxt.wrapping_sub(self.socket.snd_una)
    }

    /// Bytes written and not sent.
    pub fn unsent(&self) -> u32 {
        let unsent = self.socket.write_seq.wrapping_sub(self.socket.snd_nxt);
        // After a FIN was sent snd_nxt is one beyond write_seq.
        if unsent > u32::MAX / 2 { 0 } else { unsent }
    }

    /// Bytes written that the peer has not acknowledged: lost when the connection dies.
    pub fn undelivered(&self) -> u32 {
        self.unacked().saturating_add(self.unsent())
    }

    /// How old the connection is at `now`; none when its birth was not seen.
    pub fn age(&self, now: Time) -> Option<Duration> {
        Time::seen(self.past.born_ns).map(|born| now.since(born))
    }

    /// Bytes received and not read. A FIN takes one sequence number that is never read.
    pub fn unread(&self) -> u32 {
        let unread = self.socket.rcv_nxt.wrapping_sub(self.socket.copied_seq);
        unread.saturating_sub(u32::from(self.fin_received()))
    }

    /// Why the last retransmission did not leave this host; none when it did, or that is not known.
    pub fn send_errno(&self) -> Option<Errno> {
        Errno::from_number(self.past.send_errno.into())
    }

    /// The error that a timeout would give.
    pub fn soft_errno(&self) -> Option<Errno> {
        Errno::from_number(self.socket.err_soft)
    }

    /// Whether data waits only because the peer has closed its window.
    pub fn stalled(&self) -> bool {
        self.socket.snd_wnd == 0 && self.unsent() > 0 && self.unacked() == 0
    }

    /// Whether the process that connected has neither sent nor received anything: SYN and FIN count as one byte each.
    /// `tcp_snd_una_update()`, <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c>
    pub fn silent(&self) -> bool {
        let read = self.socket.bytes_received.saturating_sub(self.unread().into());
        read <= 1 && self.socket.bytes_acked == 1 && self.undelivered() == 0
    }

    /// Whether it was made in a cgroup that is asked for; false where none is.
    pub fn in_cgroup(&self) -> bool {
        self.has(socket::IN_CGROUP)
    }

    /// Whether the kernel has handed out a record of its end.
    pub fn end_told(&self) -> bool {
        self.past.flags & socket::TOLD != 0
    }

    /// How the process that closed it died: of a signal, or with a status other than 0.
    pub fn death(&self) -> Option<Death> {
        let died = self.past.flags & socket::CLOSED_BY_EXIT != 0 && self.past.exit_code != 0;
        died.then(|| Death::of(self.past.exit_code))
    }

    /// Since when the peer has acknowledged nothing; none when that is not known.
    pub fn silence(&self, hz: u32) -> Option<Duration> {
        let known = hz != 0 && self.socket.silence != 0;
        known.then(|| Duration::from_millis(u64::from(self.socket.silence) * 1_000 / u64::from(hz)))
    }

    /// The process that owns it, as far as is known without a look.
    pub fn owner(&self) -> Option<Owner> {
        let source = match self.past.source {
            socket::OWNER_CONNECT => Source::Connect,
            socket::OWNER_LISTEN => Source::Listen,
            socket::OWNER_IO => Source::Io,
            socket::OWNER_CLOSE => Source::Close,
            socket::OWNER_SCAN => Source::Scan,
            _ => return None,
        };
        let place = Place { cgroup: self.past.cgroup, ns_pid: self.past.ns_pid };
        Some(Owner { pid: self.past.owner, comm: Comm(self.past.comm), source, fd: None, place })
    }

    fn has(&self, flag: u32) -> bool {
        self.socket.flags & flag != 0
    }
}
