//! The hooks: one kernel event each.

pub(crate) mod call;
pub(crate) mod cgroup;
pub(crate) mod destroy;
pub(crate) mod drop;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod firewall_reset;
pub(crate) mod holder;
mod length;
pub(crate) mod quiet;
pub(crate) mod receive_length;
pub(crate) mod reset_received;
pub(crate) mod reset_sent;
pub(crate) mod retransmit;
pub(crate) mod sample;
pub(crate) mod send_length;
pub(crate) mod signal;
pub(crate) mod state_change;
pub(crate) mod synack;
pub(crate) mod ttl;

use crate::{counter::count, filter, kernel::setting, sock::Tcp};
use core::mem::MaybeUninit;
use tracer_common::{counter::Counter, record::socket::Tuple};

/// Whether the filters want an event of this socket; counted if not.
#[inline(always)]
pub(crate) fn wanted(tcp: Tcp) -> bool {
    let wanted = passes(tcp);
    if !wanted {
        count(Counter::Filtered);
    }
    wanted
}

/// Whether the filters let this socket pass.
#[inline(always)]
pub(crate) fn passes(tcp: Tcp) -> bool {
    if setting!(filtered) == 0 {
        return true;
    }
    // The ports first: they cost least, and decide most.
    if !filter::wants_ports(tcp.local_ports(), tcp.remote_port())
        || !filter::wants_cgroup(tcp.common().cgroup())
    {
        return false;
    }
    if !filter::beyond_ports() {
        return true;
    }
    let mut tuple = MaybeUninit::<Tuple>::uninit();
    tcp.tuple(tuple.as_mut_ptr());
    filter::wants_place(tuple.as_ptr())
}
