//! `tcp:tcp_retransmit_skb`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A segment is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Retransmit {
    /// How every record begins.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// Minus an errno when the segment did not leave the host; 0 when it did, or the kernel does not say.
    pub result: i32,
    /// Always zero.
    pub reserved: u32,
}
