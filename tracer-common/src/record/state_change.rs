//! `sock:inet_sock_set_state`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A socket is about to change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateChange {
    /// How every record begins.
    pub header: Header,
    /// The socket, still in its old state.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// A [`crate::State`] number.
    pub old: u8,
    /// A [`crate::State`] number.
    pub new: u8,
    /// Always zero.
    pub reserved: [u8; 6],
}
