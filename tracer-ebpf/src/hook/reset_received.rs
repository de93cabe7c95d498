//! `tcp:tcp_receive_reset(struct sock *sk)`
//!
//! The first line of `tcp_reset()`: for every valid RST, and for data that meets a socket shut down for
//! receiving. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L4493-L4531>

use super::wanted;
use crate::{
    emit::{self, Urgency},
    nest, past,
    sock::Common,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::record::{Kind, reset_received::ResetReceived};

#[btf_tracepoint(function = "tcp_receive_reset")]
pub(crate) fn reset_received(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::ResetReceived, || take(&ctx))
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub(crate) fn reset_received_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::ResetReceived, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    let Some(tcp) = Common(ctx.arg(0)).tcp() else { return };
    if !wanted(tcp) {
        return;
    }
    let now = emit::now();
    let Some(record) = emit::reserve::<ResetReceived>(Kind::ResetReceived, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        emit::socket(tcp, past::get(tcp), socket, past);
    }
    emit::submit(record, now, Urgency::Now);
}
