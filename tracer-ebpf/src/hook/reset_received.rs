//! `tcp:tcp_receive_reset(struct sock *sk)`, or the start of `tcp_reset(struct sock *sk[, struct sk_buff *skb])`
//!
//! The event is the function's first line: for every valid RST, and for data that meets a socket shut down for
//! receiving. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L4493-L4531>

use super::wanted;
use crate::{
    attach::{Arguments as _, nested},
    counter::count_loss,
    emit::{self, Urgency},
    nest, past,
    sock::{Common, is},
};
use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use core::ptr::addr_of_mut;
use tracer_common::{
    State::Established,
    counter::Counter,
    record::{Kind, reset_received::ResetReceived},
};

nested!(
    btf_tracepoint(function = "tcp_receive_reset"),
    BtfTracePointContext,
    reset_received,
    reset_received_nested,
    ResetReceived,
    |ctx: &BtfTracePointContext| take(ctx.arg(0))
);
nested!(
    fentry,
    FEntryContext,
    reset_received_fentry,
    reset_received_fentry_nested,
    ResetReceived,
    |ctx: &FEntryContext| take(ctx.arg(0))
);

#[kprobe]
pub(crate) fn reset_received_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as *const u8);
    0
}

#[inline(always)]
fn take(sk: *const u8) {
    let Some(tcp) = Common(sk).tcp() else { return };
    if !wanted(tcp) {
        return;
    }
    let (now, past) = (emit::now(), past::get(tcp));
    if nest::running(nest::Hook::Ttl) && is(tcp.common().state(), Established) {
        count_loss(Counter::NoDistance, now);
        if !past.is_null() {
            // SAFETY: a live value, checked above.
            unsafe { (*past).reset_ttl = 0 } // an earlier RST's
        }
    }
    let Some(record) = emit::reserve::<ResetReceived>(Kind::ResetReceived, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        emit::socket(tcp, past, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
    }
    emit::submit(record, now, Urgency::Now);
}
