//! `sock:sock_recv_length`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A receive call failed, or came upon the end of the stream where an answer was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReceiveLength {
    /// How every record begins; always in process context.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// What the call returns: minus an errno, or 0.
    pub result: i32,
    /// The call's `MSG_*` flags.
    pub flags: i32,
}
