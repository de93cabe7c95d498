//! `tcp:tcp_send_reset`

use super::{
    Header,
    socket::{Past, Socket, Tuple},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// [`ResetSent::reason`] on a kernel that gives none.
pub const REASON_ABSENT: i32 = -1;

/// The kernel sends a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResetSent {
    /// How every record begins.
    pub header: Header,
    /// The socket it is sent for: full, listening, a TIME_WAIT remainder, or none (all zero).
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// The segment it answers; all zero when the reset answers none.
    pub segment: Segment,
    /// `enum sk_rst_reason` of the running kernel, or [`REASON_ABSENT`].
    pub reason: i32,
    /// Sub-state of a TIME_WAIT remainder: `FIN_WAIT2` or `TIME_WAIT`; 0 for others.
    pub substate: u8,
    /// 1 when the reset answers a segment.
    pub passive: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}

/// A segment that came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Segment {
    /// Its addresses as this end sees them: `local` is the segment's destination.
    pub tuple: Tuple,
    /// Its sequence number.
    pub seq: u32,
    /// Its acknowledgement number.
    pub ack: u32,
    /// Its payload in bytes.
    pub payload: u32,
    /// The flag byte of its header (FIN 1, SYN 2, RST 4, PSH 8, ACK 16).
    pub tcp_flags: u8,
    /// Time to live of its packet; IPv6: the hop limit.
    pub ttl: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}
