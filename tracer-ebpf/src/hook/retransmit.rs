//! `tcp:tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])`
//!
//! For every attempt where the kernel gives the result too, else for those that left the host.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L3451-L3478>

use super::wanted;
use crate::{
    counter::count,
    emit::{self, Urgency},
    kernel::{number, setting},
    nest, past,
    sock::{Common, Tcp, is},
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::{
    State::{SynRecv, SynSent},
    counter::Counter,
    layout::ABSENT,
    record::{Kind, retransmit::Retransmit, socket::Past},
};

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn retransmit(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::Retransmit, || take(&ctx))
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn retransmit_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::Retransmit, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    let Some(tcp) = Common(ctx.arg(0)).tcp() else { return };
    if !wanted(tcp) {
        return;
    }
    let result = if number!(retransmit_result_argument) == ABSENT { 0 } else { ctx.arg::<u32>(2) as i32 };
    let kept = past::get(tcp);
    let news = keep(tcp, kept, result);
    if !news && setting!(every_event) == 0 {
        count(Counter::Unneeded);
        return;
    }
    let now = emit::now();
    let Some(record) = emit::reserve::<Retransmit>(Kind::Retransmit, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        emit::socket(tcp, kept, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        addr_of_mut!((*record).result).write(result);
        addr_of_mut!((*record).reserved).write(0);
    }
    emit::submit(record, now, Urgency::Batch);
}

/// Keeps whether segments leave this host; whether a live connection has a soft error that was not told.
#[inline(always)]
fn keep(tcp: Tcp, past: *mut Past, result: i32) -> bool {
    if past.is_null() {
        return false;
    }
    let soft = tcp.soft_err() as u8;
    let state = tcp.common().state();
    // SAFETY: a live value, checked above.
    unsafe {
        (*past).send_errno = if result < 0 { result.wrapping_neg() as u8 } else { 0 };
        // An attempt to connect ends by such an error, and is told then.
        if soft == (*past).soft_told || is(state, SynSent) || is(state, SynRecv) {
            return false;
        }
        (*past).soft_told = soft;
    }
    soft != 0
}
