//! `tcp:tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])`, or the start
//! of `tcp_v4_send_reset()`, `tcp_v6_send_reset()`, which take the same, and `tcp_send_active_reset(struct sock *sk, …)`
//!
//! Before 6.10 the event is for full sockets only.
//!
//! `sk` is NULL, a TIME_WAIT remainder, a listener or a full socket; `skb` is NULL when the reset answers no
//! segment. <https://github.com/torvalds/linux/blob/v6.12/include/trace/events/tcp.h#L93-L155>

use crate::{
    attach::{Arguments, nested},
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{number, offset, peek, setting},
    packet, past, reconcile,
    sock::{self, Common, Tcp},
};
use aya_ebpf::{
    EbpfContext,
    macros::{btf_map, btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use core::ptr::{self, addr_of_mut};
use tracer_common::{
    State::{SynSent, TimeWait},
    counter::Counter,
    layout::ABSENT,
    record::{
        Kind,
        reset_sent::{REASON_ABSENT, ResetSent, Segment},
        socket::{RESET_CONNECTING, Socket, Tuple},
    },
};

/// Resets without a socket.
#[btf_map]
static RESETS: Seconds<1> = Seconds::new();

/// Where a reset comes from.
enum Origin {
    /// A full socket.
    Full(Tcp),
    /// The remainder of a socket in TIME_WAIT, or of an orphan in FIN_WAIT2.
    Remainder(usize),
    /// No connection of this host.
    Nothing,
}

nested!(
    btf_tracepoint(function = "tcp_send_reset"),
    BtfTracePointContext,
    reset_sent,
    reset_sent_nested,
    ResetSent,
    |ctx: &BtfTracePointContext| {
        let reason =
            if number!(reset_reason_argument) == ABSENT { REASON_ABSENT } else { ctx.arg::<u32>(2) as i32 };
        take(ctx, Sock { typed: Common(ctx.arg(0)), at: untyped(ctx, 0) }, untyped(ctx, 1), reason);
    }
);
nested!(
    fentry,
    FEntryContext,
    reset_sent_v4_fentry,
    reset_sent_v4_fentry_nested,
    ResetSentV4,
    |ctx: &FEntryContext| answer(ctx, typed(ctx), untyped(ctx, 1))
);
nested!(
    fentry,
    FEntryContext,
    reset_sent_v6_fentry,
    reset_sent_v6_fentry_nested,
    ResetSentV6,
    |ctx: &FEntryContext| answer(ctx, typed(ctx), untyped(ctx, 1))
);
nested!(
    fentry,
    FEntryContext,
    reset_sent_active_fentry,
    reset_sent_active_fentry_nested,
    ResetSent,
    |ctx: &FEntryContext| take(ctx, typed(ctx), 0, reason(ctx, number!(active_reason_argument)))
);

#[kprobe]
pub(crate) fn reset_sent_v4_kprobe(ctx: ProbeContext) -> u32 {
    answer(&ctx, probed(&ctx), ctx.at(1) as usize);
    0
}

#[kprobe]
pub(crate) fn reset_sent_v6_kprobe(ctx: ProbeContext) -> u32 {
    answer(&ctx, probed(&ctx), ctx.at(1) as usize);
    0
}

#[kprobe]
pub(crate) fn reset_sent_active_kprobe(ctx: ProbeContext) -> u32 {
    take(&ctx, probed(&ctx), 0, reason(&ctx, number!(active_reason_argument)));
    0
}

#[inline(always)]
fn reason(ctx: &impl Arguments, number: u32) -> i32 {
    if number == ABSENT { REASON_ABSENT } else { ctx.at(number) as i32 }
}

/// An argument as a mere number. From 6.4 on the verifier takes the arguments of a tracepoint for valid pointers, and
/// until it was told which may be NULL (6.12.6) it drops the tests for that, and the load that follows is fatal.
/// <https://github.com/torvalds/linux/commit/51302c951c8fd5c298565c7127c855bf1d4550b6>
#[inline(always)]
fn untyped(ctx: &impl EbpfContext, number: usize) -> usize {
    peek(ctx.as_ptr() as usize + number * size_of::<u64>(), 0)
}

/// `tcp_v4_send_reset()` and `tcp_v6_send_reset()` answer no RST, and without a socket only what was sent to this host.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L727-L760>,
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/tcp_ipv6.c#L990-L1030>
#[inline(always)]
fn answer<C: Arguments + EbpfContext>(ctx: &C, sk: Sock, skb: usize) {
    if skb != 0 && !packet::is_reset(skb) && (sk.at != 0 || packet::came_here(skb)) {
        take(ctx, sk, skb, reason(ctx, number!(answer_reason_argument)));
    }
}

/// A socket of any kind, or none.
#[derive(Clone, Copy)]
struct Sock {
    /// As the verifier knows it.
    typed: Common,
    /// Its address, 0 for none.
    at: usize,
}

#[inline(always)]
fn typed(ctx: &FEntryContext) -> Sock {
    Sock { typed: Common(ctx.arg(0)), at: untyped(ctx, 0) }
}

#[inline(always)]
fn probed(ctx: &ProbeContext) -> Sock {
    Sock { typed: Common(ctx.at(0) as *const u8), at: ctx.at(0) as usize }
}

#[inline(always)]
fn take(ctx: &impl EbpfContext, sk: Sock, skb: usize, reason: i32) {
    // Where the verifier drops the test, the helper takes a NULL too.
    let full = if sk.typed.0.is_null() { None } else { sk.typed.tcp() };
    let origin = match full {
        Some(tcp) => Origin::Full(tcp),
        None if sk.at != 0 && sock::is(peek(sk.at, offset!(state)), TimeWait) => Origin::Remainder(sk.at),
        None => Origin::Nothing,
    };
    let net: usize = if sk.at != 0 { peek(sk.at, offset!(net)) } else { packet::net(skb) };
    let mut segment = Segment::default();
    if skb != 0 {
        packet::read(skb, &raw mut segment);
        // `tcp_v4_rcv()` and `tcp_v6_rcv()` take the device from a segment that has found its socket.
        // https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c
        if segment.tuple.netns == 0 && sk.at != 0 {
            segment.tuple.netns = peek(net, offset!(net_inum));
        }
    }
    reconcile::reset(net, full, (skb != 0).then_some(segment.tcp_flags), reason);
    if wants(&origin, &segment) {
        tell(ctx, &origin, &segment, skb != 0, reason);
    }
}

#[inline(always)]
fn wants(origin: &Origin, segment: &Segment) -> bool {
    if setting!(filtered) == 0 {
        return true;
    }
    let mut tuple = segment.tuple;
    if let Origin::Full(tcp) = origin {
        if !filter::wants_cgroup(tcp.common().cgroup()) {
            count(Counter::Filtered);
            return false;
        }
        // A listener answers for a connection it does not know: the segment names it.
        if segment.tuple.remote_port == 0 {
            tcp.tuple(&raw mut tuple);
        }
    }
    let wanted = filter::wants(&raw const tuple);
    if !wanted {
        count(Counter::Filtered);
    }
    wanted
}

#[inline(always)]
fn tell(ctx: &impl EbpfContext, origin: &Origin, segment: &Segment, passive: bool, reason: i32) {
    let now = emit::now();
    let urgency = match origin {
        Origin::Nothing if flood::beyond(&RESETS, 0, now) => {
            count(Counter::ResetFlood);
            debug!(ctx, "reset sent without a socket: one of a flood");
            return;
        }
        Origin::Nothing => Urgency::Batch,
        _ => Urgency::Now,
    };
    let Some(record) = emit::reserve::<ResetSent>(Kind::ResetSent, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        let mut substate = 0;
        match *origin {
            Origin::Full(tcp) => {
                let kept = past::get(tcp);
                if sock::is(tcp.common().state(), SynSent) && !kept.is_null() {
                    (*kept).marks |= RESET_CONNECTING;
                }
                emit::socket(tcp, kept, socket, past);
            }
            Origin::Remainder(sk) => {
                sock::fill_none(socket);
                past::copy(ptr::null(), past);
                substate = remainder(sk, &segment.tuple, socket);
            }
            Origin::Nothing => {
                sock::fill_none(socket);
                past::copy(ptr::null(), past);
            }
        }
        addr_of_mut!((*record).segment).write(*segment);
        addr_of_mut!((*record).reason).write(reason);
        addr_of_mut!((*record).substate).write(substate);
        addr_of_mut!((*record).passive).write(u8::from(passive));
        addr_of_mut!((*record).reserved).write([0; 2]);
    }
    emit::submit(record, now, urgency);
}

/// Writes what a TIME_WAIT remainder still knows; its sub-state.
///
/// It inherits the cookie of the socket it was. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_timewait_sock.c#L213>
#[inline(always)]
fn remainder(sk: usize, tuple: &Tuple, socket: *mut Socket) -> u8 {
    // SAFETY: `socket` is ours.
    unsafe {
        addr_of_mut!((*socket).cookie).write(Common(sk as *const u8).noted_cookie());
        addr_of_mut!((*socket).tuple).write(*tuple);
        addr_of_mut!((*socket).state).write(TimeWait.number());
    }
    peek(sk, offset!(tw_substate))
}
