//! `signal:signal_generate`

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel sends SIGPIPE to the thread in the header, which writes to a pipe or socket that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Signal {
    /// How every record begins.
    pub header: Header,
    /// One of [`UNKNOWN`], [`DELIVERED`], [`IGNORED`].
    pub delivery: u32,
    /// Always zero.
    pub reserved: u32,
}

/// [`Signal::delivery`]: neither of the others.
pub const UNKNOWN: u32 = 0;
/// [`Signal::delivery`]: the thread gets it; where it is blocked, later.
pub const DELIVERED: u32 = 1;
/// [`Signal::delivery`]: the process ignores it.
pub const IGNORED: u32 = 2;
