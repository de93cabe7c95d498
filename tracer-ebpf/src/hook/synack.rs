//! `tcp:tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`, or the start of
//! `tcp_rtx_synack()`, which takes the same
//!
//! `sk` is the listener. By the timer of the request, and for a SYN that is repeated; before it is counted.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L4430-L4455>,
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_connection_sock.c#L1040-L1130>

use crate::{
    attach::{Arguments as _, nested},
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{load, number, offset, peek, setting},
    past,
    sock::Common,
};
use aya_ebpf::{
    macros::{btf_map, btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use core::{mem::MaybeUninit, ptr::addr_of_mut};
use tracer_common::{
    counter::Counter,
    layout::ABSENT,
    record::{Kind, socket::Tuple, synack::Synack},
};

/// Answers that were sent again.
#[btf_map]
static SYNACKS: Seconds<1> = Seconds::new();

nested!(
    btf_tracepoint(function = "tcp_retransmit_synack"),
    BtfTracePointContext,
    synack,
    synack_nested,
    Synack,
    |ctx: &BtfTracePointContext| take(ctx.arg(0), ctx.arg(1))
);
nested!(fentry, FEntryContext, synack_fentry, synack_fentry_nested, Synack, |ctx: &FEntryContext| take(
    ctx.arg(0),
    ctx.arg(1)
));

#[kprobe]
pub(crate) fn synack_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as *const u8, ctx.at(1) as *const u8);
    0
}

#[inline(always)]
fn take(listener: *const u8, request: *const u8) {
    let Some(tcp) = Common(listener).tcp() else { return };
    let mut tuple = MaybeUninit::<Tuple>::uninit();
    // A request begins as every socket does, with what they have in common.
    Common(request).tuple(load(request, offset!(num)), tuple.as_mut_ptr());
    if setting!(filtered) != 0 && !filter::wants(tuple.as_ptr()) {
        count(Counter::Filtered);
        return;
    }
    let now = emit::now();
    if flood::beyond(&SYNACKS, 0, now) {
        count(Counter::SynackFlood);
        return;
    }
    let (depth, limit, half_open) = tcp.queues();
    let Some(record) = emit::reserve::<Synack>(Kind::Synack, now) else { return };
    // SAFETY: the record is reserved and ours; the tuple was written.
    unsafe {
        past::copy(past::get(tcp), addr_of_mut!((*record).past));
        addr_of_mut!((*record).listener).write(tcp.common().cookie());
        addr_of_mut!((*record).tuple).write(tuple.assume_init());
        let resent: u8 = load(request, offset!(request_resent));
        addr_of_mut!((*record).resent).write(resent.into());
        addr_of_mut!((*record).timeouts).write(timeouts(request as usize));
        addr_of_mut!((*record).depth).write(depth);
        addr_of_mut!((*record).limit).write(limit);
        addr_of_mut!((*record).half_open).write(half_open);
        addr_of_mut!((*record).acked).write(acked(request as usize));
    }
    emit::submit(record, now, Urgency::Batch);
}

#[inline(always)]
fn timeouts(request: usize) -> u32 {
    let bit = number!(request_timeouts_bit);
    if bit == ABSENT { 0 } else { u32::from(peek::<u8>(request, offset!(request_timeouts))) >> (bit & 7) }
}

#[inline(always)]
fn acked(request: usize) -> u32 {
    let bit = number!(request_acked_bit);
    if bit == ABSENT { 0 } else { u32::from(peek::<u8>(request, offset!(request_acked))) >> (bit & 7) & 1 }
}
