//! `tcp:tcp_receive_reset`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `tcp_reset()` begins: a valid RST arrived, or this end's own kernel refuses data after shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResetReceived {
    /// How every record begins.
    pub header: Header,
    /// The socket before the reset takes effect.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
}
