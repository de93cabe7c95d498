//! `sched:sched_process_exit`

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The process in the header dies of a signal; its descriptors are still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// How every record begins.
    pub header: Header,
    /// The exit code: the signal in the low seven bits; and [`OUT_OF_MEMORY`].
    pub exit_code: i32,
    /// Always zero.
    pub reserved: u32,
}

/// In an exit code, beyond what the kernel keeps there: the kernel killed the process for want of memory.
pub const OUT_OF_MEMORY: i32 = 1 << 16;
