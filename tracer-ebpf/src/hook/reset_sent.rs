//! `tcp:tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])`
//!
//! `sk` is NULL, a TIME_WAIT remainder, a listener or a full socket; `skb` is NULL when the reset answers no
//! segment. <https://github.com/torvalds/linux/blob/v6.12/include/trace/events/tcp.h#L93-L155>

use crate::{
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{number, offset, setting},
    nest, packet, past, reconcile,
    sock::{self, Common, Tcp},
};
use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
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
    Remainder(Common),
    /// No connection of this host.
    Nothing,
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::ResetSent, || take(&ctx))
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn reset_sent_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::ResetSent, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    let sk = Common(ctx.arg(0));
    let skb: *const u8 = ctx.arg(1);
    let reason =
        if number!(reset_reason_argument) == ABSENT { REASON_ABSENT } else { ctx.arg::<u32>(2) as i32 };
    let origin = if sk.0.is_null() {
        Origin::Nothing
    } else if sock::is(sk.state(), TimeWait) {
        Origin::Remainder(sk)
    } else {
        sk.tcp().map_or(Origin::Nothing, Origin::Full)
    };
    let mut segment = Segment::default();
    if !skb.is_null() {
        packet::read(skb, &raw mut segment);
        // `tcp_v4_rcv()` and `tcp_v6_rcv()` take the device from a segment that has found its socket.
        // https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c
        if segment.tuple.netns == 0 && !sk.0.is_null() {
            segment.tuple.netns = sk.netns();
        }
    }
    let net = match (sk.0.is_null(), skb.is_null()) {
        (false, _) => sk.net(),
        (true, false) => packet::net(skb),
        (true, true) => ptr::null(),
    };
    let full = if let Origin::Full(tcp) = origin { Some(tcp) } else { None };
    reconcile::reset(net, full, (!skb.is_null()).then_some(segment.tcp_flags), reason);
    if wants(&origin, &segment) {
        tell(ctx, &origin, &segment, !skb.is_null(), reason);
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
fn tell(ctx: &BtfTracePointContext, origin: &Origin, segment: &Segment, passive: bool, reason: i32) {
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
fn remainder(sk: Common, tuple: &Tuple, socket: *mut Socket) -> u8 {
    let mut substate = 0u8;
    // SAFETY: reads one byte of the remainder, checked by the helper; `socket` is ours.
    unsafe {
        let from = sk.0.add(offset!(tw_substate) as usize);
        if bpf_probe_read_kernel((&raw mut substate).cast(), 1, from.cast()) != 0 {
            substate = 0;
        }
        addr_of_mut!((*socket).cookie).write(sk.known_cookie());
        addr_of_mut!((*socket).tuple).write(*tuple);
        addr_of_mut!((*socket).tuple.netns).write(sk.netns());
        addr_of_mut!((*socket).state).write(TimeWait.number());
    }
    substate
}
