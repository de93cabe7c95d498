//! `tcp:tcp_retransmit_synack`

use super::{
    Header,
    socket::{Past, Tuple},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A listener answers a SYN once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Synack {
    /// How every record begins.
    pub header: Header,
    /// The listener's cookie.
    pub listener: u64,
    /// The listener's past.
    pub past: Past,
    /// The connection that is asked for, as the listener's host sees it.
    pub tuple: Tuple,
    /// How often the SYN was answered again before.
    pub resent: u32,
    /// How often the answer's timer has run out; less than `resent` when the client repeats its SYN.
    pub timeouts: u32,
    /// Connections that wait for accept().
    pub depth: u32,
    /// The limit of that queue, and of the next.
    pub limit: u32,
    /// SYNs that were answered and wait for the client.
    pub half_open: u32,
    /// 1 when the client's ACK has come and the accept queue had no room for it.
    pub acked: u32,
}
