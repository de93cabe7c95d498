//! What user space found when it looked for one socket, or for the holders of all.

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// [`Answer::state`]: there is no such socket any more.
pub const GONE: u8 = 0;
/// [`Answer::state`]: it closes, and a process still has it.
pub const HELD: u8 = 253;
/// [`Answer::state`]: it waits in an accept queue; no process has it yet.
pub const QUEUED: u8 = 254;
/// [`Answer::state`]: it could not be asked.
pub const UNKNOWN: u8 = 255;

/// The end of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// When the look began, `CLOCK_BOOTTIME` in nanoseconds: it answers nothing that was asked later.
    pub began_ns: u64,
    /// The socket that was asked for; 0 when all holders were, whose records came before this one.
    pub cookie: u64,
    /// A [`crate::State`] number (a TIME_WAIT remainder's is its sub-state), [`GONE`], [`QUEUED`], [`HELD`] or
    /// [`UNKNOWN`].
    pub state: u8,
    /// Always zero.
    pub reserved: [u8; 7],
}
