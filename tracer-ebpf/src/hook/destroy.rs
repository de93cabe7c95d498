//! `tcp:tcp_destroy_sock(struct sock *sk)`
//!
//! The end of every full socket: its address may be another's from now on. Only needed where values are kept by address.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2496-L2505>

use crate::{beside, nest, past, sock::Common};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::Destroy, || forget(&ctx))
}

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::Destroy, || forget(&ctx))
}

#[inline(always)]
fn forget(ctx: &BtfTracePointContext) {
    let address = beside::destroyed(Common(ctx.arg(0)));
    if address != 0 && (address == ctx.arg::<u64>(0) || beside::was_destroyed(Common(address as *const u8))) {
        past::forget(address);
    }
}
