//! `sock:inet_sk_error_report(const struct sock *sk)`
//!
//! Also fires with no error pending, and on the socket that itself sent a RST (it has no remote port any more):
//! neither tells anything. <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L2816-L2830>

use super::wanted;
use crate::{
    emit::{self, Urgency},
    kernel::setting,
    nest, past,
    sock::Common,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::record::{Kind, error::ErrorReport};

#[btf_tracepoint(function = "inet_sk_error_report")]
pub(crate) fn error(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::Error, || take(&ctx))
}

#[btf_tracepoint(function = "inet_sk_error_report")]
pub(crate) fn error_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::Error, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    if setting!(every_event) == 0 {
        return; // patterns take the error from the change to CLOSE, which every kernel tells
    }
    let Some(tcp) = Common(ctx.arg(0)).tcp() else { return };
    if tcp.err() == 0 || tcp.remote_port() == 0 || !wanted(tcp) {
        return;
    }
    let now = emit::now();
    let Some(record) = emit::reserve::<ErrorReport>(Kind::Error, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        emit::socket(tcp, past::get(tcp), socket, past);
    }
    emit::submit(record, now, Urgency::Batch);
}
