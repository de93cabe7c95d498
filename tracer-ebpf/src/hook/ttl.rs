//! `tcp:tcp_probe(struct sock *sk, struct sk_buff *skb)`, or the start of `tcp_rcv_established()`, which takes the same
//!
//! For every segment that comes for an ESTABLISHED connection, before it is judged. The distance from which a RST
//! came, and that of the peer, are kept beside the socket: `tcp_reset()` tells nothing of the segment.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L6145-L6157>

use crate::{
    attach::Arguments as _,
    nest::{self, Hook},
    packet, past,
    sock::{Common, Tcp},
};
use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use tracer_common::record::socket::{INCOMING, Past, TTL_VARIES};

/// The flag of RST in a TCP header, RFC 9293.
const TCP_RST: u8 = 0x04;
/// So many segments from the beginning are looked at: one that GRO has merged counts for several, and one that waited
/// for the socket's lock is looked at after others were counted.
const FIRST: u32 = 8;
/// Later about one of so many, a power of two: of a socket that is older than the tracer nothing else is known, and a
/// way that changes proves nothing.
const ONE_OF: u32 = 32;

// No second program: it runs for every segment, and of what meets it only a RST is missed, which `reset_received` sees.
#[btf_tracepoint(function = "tcp_probe")]
pub(crate) fn ttl(ctx: BtfTracePointContext) -> i32 {
    nest::first(Hook::Ttl, || take(ctx.arg(0), ctx.arg(1)))
}

#[fentry]
pub(crate) fn ttl_fentry(ctx: FEntryContext) -> i32 {
    nest::first(Hook::Ttl, || take(ctx.arg(0), ctx.arg(1)))
}

#[kprobe]
pub(crate) fn ttl_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as *const u8, ctx.at(1) as *const u8);
    0
}

#[inline(always)]
fn take(sk: *const u8, skb: *const u8) {
    let reset = packet::taken_flags(skb) & TCP_RST != 0;
    let Some(tcp) = Common(sk).tcp() else { return };
    let number = tcp.segments_received();
    if !reset && number >= FIRST && number & (ONE_OF - 1) != 0 {
        return;
    }
    let past = past::get(tcp);
    if !past.is_null() {
        keep(tcp, past, packet::ttl(skb), reset);
    }
}

#[inline(always)]
fn keep(tcp: Tcp, past: *mut Past, ttl: u8, reset: bool) {
    // SAFETY: a live value, checked by the caller.
    unsafe {
        if reset {
            (*past).reset_ttl = ttl;
            if (*past).ttl == 0 && (*past).flags & INCOMING != 0 {
                (*past).ttl = tcp.opening_ttl();
            }
        } else if ttl != 0 {
            if (*past).ttl != 0 && (*past).ttl != ttl {
                (*past).marks |= TTL_VARIES;
            }
            (*past).ttl = ttl;
        }
    }
}
