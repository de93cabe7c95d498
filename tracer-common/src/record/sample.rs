//! `iter/tcp`: a look at every TCP socket of a network namespace.

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A socket as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sample {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
}
