//! `skb:kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason[, struct sock *rx_sk])`
//!
//! For every packet that is thrown away; of these only the few that TCP refuses on an open connection are told. Since
//! 6.11 the kernel says for which socket it came.
//! <https://github.com/torvalds/linux/blob/v6.12/include/trace/events/skb.h#L21-L56>

use super::wanted;
use crate::{
    counter::count,
    emit::{self, Urgency},
    flood::{self, Seconds},
    kernel::number,
    nest, packet, past,
    sock::{Common, is},
};
use aya_ebpf::{
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use core::ptr::addr_of_mut;
use tracer_common::{
    State::{Listen, SynRecv},
    counter::Counter,
    layout::ABSENT,
    record::{
        Kind,
        drop::{Drop, RESET, SEQUENCE, SYN},
        reset_sent::Segment,
    },
};

/// Flags of a TCP header, RFC 9293.
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
const TCP_ACK: u8 = 0x10;

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
    let Some(why) = why(ctx) else { return };
    let sk = Common(if number!(drop_socket_argument) == ABSENT { core::ptr::null() } else { ctx.arg(3) });
    if sk.0.is_null() {
        return;
    }
    let mut segment = Segment::default();
    packet::read(ctx.arg(0), &raw mut segment);
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
fn why(ctx: &BtfTracePointContext) -> Option<u32> {
    if number!(drop_reason_argument) == ABSENT {
        return None;
    }
    let reason = ctx.arg::<u32>(2);
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
