//! `sock:inet_sk_error_report(const struct sock *sk)`, or the start of `sk_error_report(struct sock *sk)`, on older kernels
//! of `sock_def_error_report()`
//!
//! Also fires with no error pending, and on the socket that itself sent a RST (it has no remote port any more):
//! neither tells anything. <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L2816-L2830>

use super::wanted;
use crate::{
    attach::{Arguments as _, nested},
    emit::{self, Urgency},
    kernel::setting,
    past,
    sock::Common,
};
use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use core::ptr::addr_of_mut;
use tracer_common::record::{Kind, error::ErrorReport};

nested!(
    btf_tracepoint(function = "inet_sk_error_report"),
    BtfTracePointContext,
    error,
    error_nested,
    Error,
    |ctx: &BtfTracePointContext| take(ctx.arg(0))
);
nested!(fentry, FEntryContext, error_fentry, error_fentry_nested, Error, |ctx: &FEntryContext| take(
    ctx.arg(0)
));

#[kprobe]
pub(crate) fn error_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as *const u8);
    0
}

#[inline(always)]
fn take(sk: *const u8) {
    if setting!(every_event) == 0 {
        return; // patterns take the error from the change to CLOSE, which every kernel tells
    }
    let Some(tcp) = Common(sk).tcp() else { return };
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
