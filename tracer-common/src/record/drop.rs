//! `skb:kfree_skb`

use super::{
    Header,
    reset_sent::Segment,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel throws a segment away that came for a connection of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Drop {
    /// How every record begins.
    pub header: Header,
    /// The socket it came for.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// The segment.
    pub segment: Segment,
    /// [`RESET`] and so on.
    pub why: u32,
    /// Always zero.
    pub reserved: u32,
}

/// [`Drop::why`]: a RST inside the window, but not at its edge; answered by a challenge ACK (RFC 5961).
pub const RESET: u32 = 1;
/// [`Drop::why`]: a RST outside the window.
pub const SEQUENCE: u32 = 2;
/// [`Drop::why`]: a SYN for a connection that is open; answered by a challenge ACK.
pub const SYN: u32 = 3;
