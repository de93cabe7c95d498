//! `sock:inet_sk_error_report(const struct sock *sk)`
//!
//! Also fires with no error pending, and on the socket that itself sent a RST (it has no remote port any more):
//! neither tells anything. <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L2816-L2830>

use super::wanted;
use crate::{
    emit::{self, Urgency},
    kernel::setting,
    past,
    sock::Common,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::record::{Kind, error::ErrorReport};

#[btf_tracepoint(function = "inet_sk_error_report")]
pub(crate) fn error(ctx: BtfTracePointContext) -> i32 {
    if setting!(every_event) == 0 {
        return 0; // patterns take the error from the change to CLOSE, which every kernel tells
    }
    let Some(tcp) = Common(ctx.arg(0)).tcp() else { return 0 };
    if tcp.err() != 0 && tcp.remote_port() != 0 && wanted(tcp) {
        emit::send::<ErrorReport>(Kind::Error, emit::now(), Urgency::Batch, |record| {
            // SAFETY: the record is reserved and ours.
            unsafe {
                let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
                emit::socket(tcp, past::get(tcp), socket, past);
            }
        });
    }
    0
}
