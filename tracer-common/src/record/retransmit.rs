//! `tcp:tcp_retransmit_skb`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A segment is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Retransmit {
    /// How every record begins.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
    /// Minus an errno when the segment did not leave the host; 0 when it did, or the kernel does not say.
    pub result: i32,
    /// Why it is told: [`SOFT`] and so on; 0 with `--events` alone.
    pub news: u32,
    /// Over how long segments were counted, in nanoseconds; with [`LOSSY`], else 0.
    pub over_ns: u64,
    /// Segments with data sent in that time, those sent again included.
    pub sent: u32,
    /// Segments sent again in that time.
    pub resent: u32,
    /// Payload of the segment in bytes.
    pub length: u32,
    /// The largest payload a segment has (`mss_cache`).
    pub mss: u32,
    /// Segments after it that the peer has got (`sacked_out`).
    pub sacked: u32,
    /// How often in a row this very segment was sent again.
    pub times: u32,
}

/// [`Retransmit::news`]: an ICMP error has come that was not told.
pub const SOFT: u32 = 1;
/// [`Retransmit::news`]: more than the share of the setting was sent again.
pub const LOSSY: u32 = 2;
/// [`Retransmit::news`]: a full segment does not get through, and a smaller one after it does.
pub const BLACKHOLE: u32 = 4;
/// [`Retransmit::news`]: nobody has the connection any more, and its end is not acknowledged.
pub const STUCK: u32 = 8;
