//! How boot time and wall time lie to each other.

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Clock {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME` in nanoseconds.
    pub wall_minus_boot_ns: i64,
    /// Ticks a second of the kernel's timers; 0 while unknown.
    pub hz: u32,
    /// Always zero.
    pub reserved: u32,
}
