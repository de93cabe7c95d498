//! `skb:kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason[, struct sock *rx_sk])`
//!
//! For every packet that is thrown away; of these only the few that TCP refuses on an open connection are told. Since
//! 6.11 the kernel says for which socket it came. Of what does not leave this host the reason is kept beside its socket.
//! <https://github.com/torvalds/linux/blob/v6.12/include/trace/events/skb.h#L21-L56>

use super::wanted;
use crate::{
    counter::count,
    emit::{self, Urgency},
    flood::{self, Seconds},
    kernel::{load, number, offset},
    nest, packet, past, refused,
    sock::{Common, is, peek_tuple},
};
use aya_ebpf::{
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use core::{mem::MaybeUninit, ptr::addr_of_mut};
use tracer_common::{
    State::{Listen, SynRecv},
    counter::Counter,
    layout::ABSENT,
    record::{
        Kind,
        drop::{Drop, RESET, SEQUENCE, SYN},
        reset_sent::Segment,
        socket::Tuple,
    },
};

/// Flags of a TCP header, RFC 9293.
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
const TCP_ACK: u8 = 0x10;

/// What `ip_queue_xmit()` returns for a packet that a firewall drops, and a neighbour's silence comes to.
/// <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/core.c#L610-L650>,
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/arp.c#L292-L296>
const EPERM: u8 = 1;
const EHOSTUNREACH: u8 = 113;

/// Segments that were refused.
#[btf_map]
static DROPS: Seconds<1> = Seconds::new();

#[btf_tracepoint(function = "kfree_skb")]
pub(crate) fn drop(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::Drop, || take(&ctx))
}

#[btf_tracepoint(function = "kfree_skb")]
pub(crate) fn drop_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::Drop, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    if number!(drop_reason_argument) == ABSENT {
        return;
    }
    let reason = ctx.arg::<u32>(2);
    if reason == number!(drop_netfilter) {
        keep(ctx.arg(0), EPERM);
    } else if reason == number!(drop_neighbour) {
        keep(ctx.arg(0), EHOSTUNREACH);
    } else if let Some(why) = why(reason) {
        tell(ctx, why);
    }
}

/// Keeps why a segment did not leave this host.
#[inline(always)]
fn keep(skb: *const u8, errno: u8) {
    let sk: usize = load(skb, offset!(skb_sk));
    let mut own = MaybeUninit::<Tuple>::uninit();
    if sk == 0 || !peek_tuple(sk, own.as_mut_ptr()) {
        return;
    }
    // SAFETY: written above.
    let own = unsafe { own.assume_init() };
    let mut segment = Segment::default();
    packet::read(skb as usize, &raw mut segment);
    // One that comes in may have been given to the socket early.
    // https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L1975-L2015
    let sent = segment.tuple;
    if sent.remote_port == own.local_port && sent.local_port == own.remote_port && sent.remote == own.local {
        refused::note(sk, errno, emit::now());
    }
}

#[inline(always)]
fn tell(ctx: &BtfTracePointContext, why: u32) {
    let sk = Common(if number!(drop_socket_argument) == ABSENT { core::ptr::null() } else { ctx.arg(3) });
    if sk.0.is_null() {
        return;
    }
    let mut segment = Segment::default();
    packet::read(ctx.arg::<u64>(0) as usize, &raw mut segment);
    let flags = segment.tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK);
    // A SYN-ACK that is repeated is refused in the same way, and is nobody's news.
    if if why == SYN { flags != TCP_SYN } else { flags & TCP_RST == 0 } {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let state = tcp.common().state();
    if is(state, Listen) || is(state, SynRecv) || !wanted(tcp) {
        return;
    }
    let now = emit::now();
    if flood::beyond(&DROPS, 0, now) {
        count(Counter::DropFlood);
        return;
    }
    let Some(record) = emit::reserve::<Drop>(Kind::Drop, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe {
        let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        emit::socket(tcp, past::get(tcp), socket, past);
        addr_of_mut!((*record).segment).write(segment);
        addr_of_mut!((*record).why).write(why);
        addr_of_mut!((*record).reserved).write(0);
    }
    emit::submit(record, now, Urgency::Batch);
}

/// Which of the refusals that matter this is.
#[inline(always)]
fn why(reason: u32) -> Option<u32> {
    if reason == number!(drop_reset) {
        Some(RESET)
    } else if reason == number!(drop_sequence)
        || reason == number!(drop_end_sequence)
        || reason == number!(drop_old_sequence)
    {
        Some(SEQUENCE)
    } else if reason == number!(drop_syn) {
        Some(SYN)
    } else {
        None
    }
}
