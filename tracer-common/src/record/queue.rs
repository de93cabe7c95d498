//! What user space found when it looked at a listener.

use super::{Header, socket::Tuple};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A listener's accept queue as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Queue {
    /// How every record begins; its process is the tracer.
    pub header: Header,
    /// The listener's cookie.
    pub cookie: u64,
    /// Where it listens.
    pub tuple: Tuple,
    /// Connections that wait for accept(); full is one more than the limit.
    pub depth: u32,
    /// The limit: the least of listen()'s backlog and `somaxconn`.
    pub limit: u32,
    /// SYNs and handshakes it has dropped since it was last looked at.
    pub new_drops: u32,
    /// How often an accept queue of its namespace was full since then (`ListenOverflows`).
    pub new_overflows: u32,
    /// SYNs that its namespace has dropped since then for a full queue of half-open ones (`TCPReqQFullDrop`).
    pub new_syn_drops: u32,
    /// SYNs that its namespace has answered by a cookie since then (`TCPReqQFullDoCookies`).
    pub new_syn_cookies: u32,
}
