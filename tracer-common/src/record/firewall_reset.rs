//! `nf_send_reset()`, `nf_send_reset6()`

use super::{Header, reset_sent::Segment};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A rule of a packet filter of this host answers a segment with a RST, in the name of who the segment was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FirewallReset {
    /// How every record begins.
    pub header: Header,
    /// The segment it answers; the namespace is the one whose rule it is.
    pub segment: Segment,
}
