//! A place in the table of open sockets, which the programs write and user space reads.

use crate::record::socket::Past;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A power of two: a socket's place is the rest of its cookie. With the sizes of today 8 MiB.
pub const PLACES: usize = 1 << 16;

/// A bit of a tag: its socket has ended. What comes right after its end still finds what was kept.
pub const ENDED: u64 = 1 << 63;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Slot {
    /// The cookie of whose place it is or was; 0 when it is nobody's.
    pub tag: u64,
    /// Since when nobody uses it, in jiffies.
    pub since: u64,
    /// The cookie of the socket that last wanted it.
    pub bidder: u64,
    /// The cookie of the socket that last took it, or nearly; 0 when it is to be had.
    pub taker: u64,
    /// Changes with each attempt, and tells nothing.
    pub fence: u64,
    /// What is kept of the socket.
    pub past: Past,
}

impl Slot {
    /// Whether this is the place of the socket with this cookie, or was when it ended.
    #[must_use]
    pub const fn is_of(&self, cookie: u64) -> bool {
        cookie != 0 && self.tag & !ENDED == cookie
    }
}
