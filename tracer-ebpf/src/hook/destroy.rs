//! `tcp:tcp_destroy_sock(struct sock *sk)`, or the start of `tcp_v4_destroy_sock()`, which is where it is, for IPv6 as well
//!
//! The end of every full socket: its address may be another's from now on. Only needed where values are kept by address.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2496-L2505>

use crate::{
    attach::{Arguments as _, nested},
    beside, past,
    sock::Common,
};
use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};

nested!(
    btf_tracepoint(function = "tcp_destroy_sock"),
    BtfTracePointContext,
    destroy,
    destroy_nested,
    Destroy,
    |ctx: &BtfTracePointContext| forget(ctx.arg(0))
);
nested!(fentry, FEntryContext, destroy_fentry, destroy_fentry_nested, Destroy, |ctx: &FEntryContext| forget(
    ctx.arg(0)
));

#[kprobe]
pub(crate) fn destroy_kprobe(ctx: ProbeContext) -> u32 {
    forget(ctx.at(0));
    0
}

#[inline(always)]
fn forget(sk: u64) {
    let address = beside::destroyed(Common(sk as *const u8));
    if address != 0 && (address == sk || beside::was_destroyed(Common(address as *const u8))) {
        past::forget(address);
    }
}
