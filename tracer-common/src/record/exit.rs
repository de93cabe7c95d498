//! `sched:sched_process_exit`

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The process in the header dies of a signal; its descriptors are still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// How every record begins.
    pub header: Header,
    /// The exit code: the signal in the low seven bits.
    pub exit_code: i32,
    /// Always zero.
    pub reserved: u32,
}
