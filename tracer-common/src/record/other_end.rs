//! What user space found of the other end of a connection when it looked for it.

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The other end of a connection, to which nothing has happened that would have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OtherEnd {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// Its cookie, addresses, state, and whether a process has it; the rest is not known.
    pub socket: Socket,
    /// What the programs have kept of it.
    pub past: Past,
}
