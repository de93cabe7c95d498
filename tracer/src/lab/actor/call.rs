//! What an actor can be asked to do: one system call a request, and how requests and answers travel.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A descriptor in an actor's own table, the number that tools show for that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fd(pub i32);

/// The kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Domain {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`, which also reaches IPv4 through mapped addresses.
    V6,
}

impl Domain {
    /// The kind of socket that takes this address as it is written.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The direction that `shutdown` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// `SHUT_RD`.
    Read,
    /// `SHUT_WR`: a FIN is sent, data still arrives.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// A socket option with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketOption {
    /// `SO_LINGER` with these seconds; 0 makes `close` send a RST, `None` turns it off.
    Linger(Option<u16>),
    /// `TCP_LINGER2`: seconds of `FIN_WAIT2` after `close`; below 0 the state is skipped.
    Linger2(i32),
    /// `SO_RCVBUF` in bytes, which the kernel doubles.
    ReceiveBuffer(usize),
    /// `SO_SNDBUF` in bytes, which the kernel doubles.
    SendBuffer(usize),
    /// `SO_REUSEADDR`.
    ReuseAddress(bool),
    /// `SO_KEEPALIVE`.
    Keepalive(bool),
    /// `TCP_KEEPIDLE` in seconds.
    KeepaliveIdle(u32),
    /// `TCP_KEEPINTVL` in seconds.
    KeepaliveInterval(u32),
    /// `TCP_KEEPCNT`.
    KeepaliveProbes(u32),
    /// `TCP_USER_TIMEOUT` in milliseconds.
    UserTimeout(u32),
    /// `TCP_NODELAY`.
    NoDelay(bool),
    /// `IPV6_V6ONLY`.
    OnlyV6(bool),
    /// `O_NONBLOCK`.
    Nonblocking(bool),
    /// `TCP_REPAIR`, which needs `CAP_NET_ADMIN`: while it is on, `close` forgets the connection without a word.
    Repair(bool),
    /// `TCP_QUEUE_SEQ` of what is to be sent, of a socket that is not connected yet: where it will begin to count.
    SendSequence(u32),
    /// `SO_RCVTIMEO`; from 1,000,000 microseconds on it is refused.
    ReceiveTimeout {
        /// Whole seconds.
        seconds: i64,
        /// The rest.
        microseconds: i64,
    },
    /// `TCP_CONGESTION` with an algorithm that no kernel has.
    MissingCongestion,
    /// `IP_ADD_MEMBERSHIP`: joins a multicast group on the interface that has this address.
    Membership {
        /// The group.
        group: Ipv4Addr,
        /// The interface's own address.
        interface: Ipv4Addr,
    },
    /// `SO_TYPE`, which can only be read.
    SocketType(i32),
    /// An option of TCP that there is not.
    Unknown,
}

/// One call of an actor on one of its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// `socket(domain, SOCK_STREAM)`: the descriptor.
    Socket(Domain),
    /// `socket(domain, SOCK_DGRAM)`: the descriptor.
    Datagram(Domain),
    /// `bind`.
    Bind(Fd, SocketAddr),
    /// `listen` with this backlog.
    Listen(Fd, i32),
    /// `accept4`: the descriptor and the client's address.
    Accept(Fd),
    /// `connect`.
    Connect(Fd, SocketAddr),
    /// `getsockname`: the address.
    LocalAddress(Fd),
    /// `getpeername`: the address.
    PeerAddress(Fd),
    /// `send` of `bytes` bytes: how many were taken.
    Send {
        /// The socket.
        fd: Fd,
        /// How many bytes to send.
        bytes: usize,
        /// `MSG_NOSIGNAL`.
        no_signal: bool,
    },
    /// `sendfile` of `bytes` bytes of a file in memory: how many were taken.
    SendFile {
        /// The socket.
        fd: Fd,
        /// How many bytes to send.
        bytes: usize,
    },
    /// `splice` of `bytes` bytes, at most 64 KiB, from a pipe: how many were taken.
    Splice {
        /// The socket.
        fd: Fd,
        /// How many bytes to send.
        bytes: usize,
    },
    /// `recv` of at most `bytes` bytes: how many came.
    Recv {
        /// The socket.
        fd: Fd,
        /// How many bytes at most.
        bytes: usize,
        /// `MSG_PEEK`: leave them in the queue.
        peek: bool,
        /// `MSG_DONTWAIT`: fail with `EAGAIN` instead of waiting.
        dont_wait: bool,
    },
    /// `shutdown`.
    Shutdown(Fd, Direction),
    /// `close`.
    Close(Fd),
    /// `setsockopt` (for `O_NONBLOCK`: `fcntl`).
    Set(Fd, SocketOption),
    /// `setsockopt(TCP_NODELAY)` on a duplicate of the descriptor that has been closed just before.
    SetOnClosed(Fd),
    /// `setsockopt(TCP_NODELAY)` on an open file.
    SetOnFile,
    /// `getsockopt` of a level that there is not: what the kernel answers.
    GetUnknownLevel(Fd),
    /// `getsockopt(SO_ERROR)`: the errno, which the kernel then forgets, or null.
    TakeError(Fd),
    /// Waits for `EPOLL*` events: those that hold, none when the time is over.
    Poll {
        /// The socket.
        fd: Fd,
        /// The bits asked for; errors and hang-ups are told in any case.
        events: i32,
        /// How long to wait, at most.
        limit: Duration,
    },
    /// `fcntl(F_DUPFD_CLOEXEC)`: the new descriptor.
    Duplicate(Fd),
}

impl Call {
    /// How long the call may take because it was asked to wait.
    #[must_use]
    pub fn patience(&self) -> Duration {
        if let Self::Poll { limit, .. } = self { *limit } else { Duration::ZERO }
    }

    /// The socket the call is made on.
    #[must_use]
    pub fn fd(&self) -> Option<Fd> {
        match *self {
            Self::Socket(_) | Self::Datagram(_) | Self::SetOnFile => None,
            Self::Bind(fd, _)
            | Self::Listen(fd, _)
            | Self::Accept(fd)
            | Self::Connect(fd, _)
            | Self::LocalAddress(fd)
            | Self::PeerAddress(fd)
            | Self::Send { fd, .. }
            | Self::SendFile { fd, .. }
            | Self::Splice { fd, .. }
            | Self::Recv { fd, .. }
            | Self::Shutdown(fd, _)
            | Self::Close(fd)
            | Self::Set(fd, _)
            | Self::SetOnClosed(fd)
            | Self::GetUnknownLevel(fd)
            | Self::TakeError(fd)
            | Self::Poll { fd, .. }
            | Self::Duplicate(fd) => Some(fd),
        }
    }
}

/// A line to the actor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Take this name; the first line.
    Name(String),
    /// Make a call and answer with its result.
    Call(Call),
    /// Make a call on a thread of its own; answer with the thread's id as soon as it is about to.
    Start(Call),
    /// Answer with the result of the call that this thread made.
    Join(i32),
    /// Let SIGPIPE end the process, as it does for programs that do not ask otherwise.
    DefaultSigpipe,
    /// Let this be the soft limit of descriptors; answer with the one before.
    DescriptorLimit(u64),
    /// `exit` with this code; no answer.
    Exit(i32),
    /// `abort`; no answer.
    Abort,
}

/// A line from the actor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The call succeeded with this value.
    Done(Value),
    /// The call failed with this errno.
    Failed(i32),
    /// The request made no sense; nothing was called.
    Fault(String),
}
