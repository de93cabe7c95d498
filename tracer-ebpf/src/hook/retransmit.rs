//! `tcp:tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])`, the end of
//! `__tcp_retransmit_skb(struct sock *sk, struct sk_buff *skb, int segs)`, which some compilers build into the function that
//! timers call, and leave for loss probes alone
//!
//! For every attempt where the kernel gives the result too; the event without it is for those that left the host.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L3451-L3478>

use super::wanted;
use crate::{
    attach::{Arguments as _, Function, enter, leave, nested},
    counter::count,
    emit::{self, Urgency},
    kernel::{load, number, offset, setting},
    past, refused,
    repeats::{self, Counted},
    sock::{Common, Tcp, is},
};
use aya_ebpf::{
    macros::{btf_tracepoint, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RetProbeContext},
};
use core::ptr::addr_of_mut;
use tracer_common::{
    State::{Closing, FinWait1, LastAck, SynRecv, SynSent},
    counter::Counter,
    layout::ABSENT,
    record::{
        Kind,
        retransmit::{BLACKHOLE, LOSSY, Retransmit, SOFT, STUCK},
        socket::{BLACKHOLE_TOLD, LOSSY_TOLD, Past, SENT_AGAIN, STUCK_TOLD},
    },
};

/// A segment that was sent so often in a row, …
const IN_VAIN: u32 = 3;
/// … so often because a timer ran out, does not get through. The kernel counts that after this event.
const TIMEOUTS_BEFORE: u8 = 2;

nested!(
    btf_tracepoint(function = "tcp_retransmit_skb"),
    BtfTracePointContext,
    retransmit,
    retransmit_nested,
    Retransmit,
    |ctx: &BtfTracePointContext| {
        let result = if number!(retransmit_result_argument) == ABSENT { 0 } else { ctx.arg::<u32>(2) as i32 };
        take(ctx.arg(0), ctx.arg(1), result);
    }
);
nested!(fexit, FExitContext, retransmit_fexit, retransmit_fexit_nested, Retransmit, |ctx: &FExitContext| {
    take(ctx.arg(0), ctx.arg(1), ctx.at(number!(retransmit_returns)) as i32)
});

#[kprobe]
pub(crate) fn retransmit_kprobe(ctx: ProbeContext) -> u32 {
    enter(Function::Retransmit, [ctx.at(0), ctx.at(1), 0, 0]);
    0
}

#[kretprobe]
pub(crate) fn retransmit_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some([sk, skb, ..]) = leave(Function::Retransmit) {
        take(sk as *const u8, skb as *const u8, ctx.ret::<u64>() as i32);
    }
    0
}

#[inline(always)]
fn take(sk: *const u8, skb: *const u8, result: i32) {
    let Some(tcp) = Common(sk).tcp() else { return };
    if !wanted(tcp) {
        return;
    }
    let length: u32 = load(skb, offset!(skb_len));
    let now = emit::now();
    let kept = past::get(tcp);
    let mut counted = Counted::default();
    let news = if kept.is_null() { 0 } else { news(tcp, kept, result, skb, length, now, &mut counted) };
    if news == 0 && setting!(every_event) == 0 {
        count(Counter::Unneeded);
        return;
    }
    let Some(record) = emit::reserve::<Retransmit>(Kind::Retransmit, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        emit::socket(tcp, kept, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        addr_of_mut!((*record).result).write(result);
        addr_of_mut!((*record).news).write(news);
        addr_of_mut!((*record).over_ns).write(counted.over_ns);
        addr_of_mut!((*record).sent).write(counted.sent);
        addr_of_mut!((*record).resent).write(counted.resent);
        addr_of_mut!((*record).length).write(length);
        addr_of_mut!((*record).mss).write(tcp.mss());
        addr_of_mut!((*record).sacked).write(tcp.sacked());
        addr_of_mut!((*record).times).write(counted.times);
    }
    emit::submit(record, now, Urgency::Batch);
}

/// Keeps what a later finding needs of this; what of it is told now.
#[inline(always)]
fn news(
    tcp: Tcp,
    past: *mut Past,
    result: i32,
    skb: *const u8,
    length: u32,
    now: u64,
    counted: &mut Counted,
) -> u32 {
    let state = tcp.common().state();
    // SAFETY: a live value, checked by the caller.
    unsafe {
        if result >= 0 && is(state, SynSent) {
            refused::left(tcp, past, now);
        }
        (*past).send_errno = if result < 0 { result.wrapping_neg() as u8 } else { 0 };
        if result >= 0 {
            (*past).marks |= SENT_AGAIN;
        }
    }
    // An attempt to connect ends by such an error, and is told then.
    if is(state, SynSent) || is(state, SynRecv) {
        return 0;
    }
    if result >= 0 {
        refused::forget(tcp);
    }
    let mut news = soft(tcp, past);
    if !tcp.dead() {
        repeats::count(tcp, skb, now, counted);
        if counted.lossy {
            news |= once(past, LOSSY_TOLD, LOSSY);
        }
        if counted.times >= IN_VAIN && blackholed(tcp, length) {
            news |= once(past, BLACKHOLE_TOLD, BLACKHOLE);
        }
    } else if stuck(past, state, now) {
        news |= once(past, STUCK_TOLD, STUCK);
    }
    news
}

/// Whether an ICMP error has come that was not told.
#[inline(always)]
fn soft(tcp: Tcp, past: *mut Past) -> u32 {
    let soft = tcp.soft_err() as u8;
    // SAFETY: a live value, checked by the caller.
    unsafe {
        if soft == (*past).soft_told {
            return 0;
        }
        (*past).soft_told = soft;
    }
    if soft == 0 { 0 } else { SOFT }
}

/// Whether a full segment is sent again by a timer, and the peer has got smaller ones: after it, and before.
///
/// Where loss is by chance, full segments are among those that the peer has got.
#[inline(always)]
fn blackholed(tcp: Tcp, length: u32) -> bool {
    let (mss, acked) = (tcp.mss(), tcp.bytes_acked());
    // The peer's answer to the SYN counts as one byte.
    let some_got_through = tcp.sacked() > 0 && acked > 1;
    let small = acked * 2 < u64::from(tcp.delivered()) * u64::from(mss);
    let in_vain = tcp.retransmits() >= TIMEOUTS_BEFORE;
    setting!(blackhole) != 0 && mss != 0 && length >= mss && some_got_through && small && in_vain
}

/// Whether an orphan's end has not been acknowledged for too long.
#[inline(always)]
fn stuck(past: *const Past, state: u8, now: u64) -> bool {
    let limit = setting!(stuck_after_ns);
    // SAFETY: a live value, checked by the callers.
    let since = unsafe { (*past).fin_sent_ns };
    let closes = is(state, FinWait1) || is(state, LastAck) || is(state, Closing);
    limit != 0 && closes && since != 0 && now.wrapping_sub(since) >= limit
}

/// What is told the first time only.
#[inline(always)]
fn once(past: *mut Past, mark: u8, news: u32) -> u32 {
    // SAFETY: a live value, checked by the callers.
    unsafe {
        if (*past).marks & mark != 0 {
            return 0;
        }
        (*past).marks |= mark;
    }
    news
}
