//! The hooks: one kernel event each.

pub(crate) mod error;
pub(crate) mod holder;
mod length;
pub(crate) mod receive_length;
pub(crate) mod reset_received;
pub(crate) mod reset_sent;
pub(crate) mod sample;
pub(crate) mod send_length;
pub(crate) mod state_change;

use crate::{counter::count, filter, kernel::setting, sock::Tcp};
use tracer_common::{counter::Counter, record::socket::Tuple};

/// Counts an event of a TCP socket, and tells whether the filters want it.
#[inline(always)]
pub(crate) fn wanted(tcp: Tcp) -> bool {
    count(Counter::Seen);
    if setting!(filtered) == 0 {
        return true;
    }
    let mut tuple = Tuple::default();
    tcp.tuple(&raw mut tuple);
    let wanted = filter::wants(&raw const tuple);
    if !wanted {
        count(Counter::Filtered);
    }
    wanted
}
