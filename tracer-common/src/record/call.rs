//! `raw_syscalls:sys_exit`

use super::{Header, socket::Tuple};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A system call about a socket failed, or `SO_ERROR` told of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// How every record begins; its process is the caller.
    pub header: Header,
    /// The socket's cookie; 0 when there is no socket, or nothing has asked for its cookie yet.
    pub cookie: u64,
    /// Its addresses; the remote one is what connect() was given. Where there is no socket of TCP, zero but for the
    /// namespace, which is the caller's.
    pub tuple: Tuple,
    /// One of [`CONNECT`] and so on.
    pub call: u32,
    /// The descriptor it was made on.
    pub fd: i32,
    /// What it returned: minus an errno, or 0 with [`Call::value`].
    pub result: i32,
    /// Level of the option, `SOL_SOCKET` is 1; 0 for other calls.
    pub level: i32,
    /// Number of the option; 0 for other calls.
    pub option: i32,
    /// The error that `SO_ERROR` told; 0 for other calls.
    pub value: i32,
    /// Connections in the accept queue of a listener.
    pub ack_backlog: u32,
    /// The queue's limit.
    pub max_ack_backlog: u32,
    /// User id the socket belongs to.
    pub uid: u32,
    /// [`SOCKET`], [`TCP`].
    pub flags: u32,
    /// The caller's cgroup, as [`super::socket::Past::cgroup`].
    pub cgroup: u64,
    /// Its number in its own pid namespace; 0 when unknown.
    pub ns_pid: u32,
    /// A [`crate::State`] number; 0 without a socket of TCP.
    pub state: u8,
    /// Always zero.
    pub reserved: [u8; 3],
}

/// [`Call::call`]: `connect`.
pub const CONNECT: u32 = 0;
/// [`Call::call`]: `accept` or `accept4`.
pub const ACCEPT: u32 = 1;
/// [`Call::call`]: `shutdown`.
pub const SHUTDOWN: u32 = 2;
/// [`Call::call`]: `setsockopt`.
pub const SETSOCKOPT: u32 = 3;
/// [`Call::call`]: `getsockopt`.
pub const GETSOCKOPT: u32 = 4;
/// How many there are.
pub const CALLS: u32 = 5;

/// [`Call::flags`]: the descriptor is a socket's.
pub const SOCKET: u32 = 1;
/// [`Call::flags`]: it is a socket of TCP.
pub const TCP: u32 = 2;
/// [`Call::flags`]: the caller is the followed process or below it.
pub const FOLLOWED: u32 = 4;
/// [`Call::flags`]: the socket was made in a cgroup that is asked for, or below.
pub const IN_CGROUP: u32 = 8;
