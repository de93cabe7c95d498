//! `iter/task_file`: a look at every descriptor of every process.

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A process holds a descriptor of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Holder {
    /// How every record begins; its process is the holder.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// The descriptor's number.
    pub fd: u32,
    /// The holder's number in its own pid namespace; 0 when unknown.
    pub ns_pid: u32,
    /// Its cgroup, as [`Past::cgroup`].
    pub cgroup: u64,
}
