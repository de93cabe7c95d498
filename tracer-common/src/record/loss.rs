//! What a CPU has lost, as user space read it from the counters.

use super::Header;
use crate::counter::Cell;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// New losses of one cause on one CPU (the header's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Loss {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// How many since the last such record, and between which times.
    pub cell: Cell,
    /// A [`crate::counter::Counter`] index.
    pub counter: u32,
    /// Always zero.
    pub reserved: u32,
}
