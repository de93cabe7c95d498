//! `tcp:tcp_probe(struct sock *sk, struct sk_buff *skb)`
//!
//! For every segment that comes for an ESTABLISHED connection, before it is judged. The distance from which a RST
//! came, and that of the peer, are kept beside the socket: `tcp_reset()` tells nothing of the segment.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L6145-L6157>

use crate::{
    nest, packet, past,
    sock::{Common, Tcp},
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::record::socket::{INCOMING, Past};

/// The flag of RST in a TCP header, RFC 9293.
const TCP_RST: u8 = 0x04;
/// The SYN-ACK was the first segment that came for a socket that connects: this is the next.
const FIRST: u32 = 2;

#[btf_tracepoint(function = "tcp_probe")]
pub(crate) fn ttl(ctx: BtfTracePointContext) -> i32 {
    nest::first(nest::Hook::Ttl, || take(&ctx))
}

#[btf_tracepoint(function = "tcp_probe")]
pub(crate) fn ttl_nested(ctx: BtfTracePointContext) -> i32 {
    nest::second(nest::Hook::Ttl, || take(&ctx))
}

#[inline(always)]
fn take(ctx: &BtfTracePointContext) {
    let skb: *const u8 = ctx.arg(1);
    let reset = packet::taken_flags(skb) & TCP_RST != 0;
    let Some(tcp) = Common(ctx.arg(0)).tcp() else { return };
    if !reset && tcp.segments_received() != FIRST {
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
        if !reset {
            (*past).ttl = ttl;
            return;
        }
        (*past).reset_ttl = ttl;
        if (*past).ttl == 0 && (*past).flags & INCOMING != 0 {
            (*past).ttl = tcp.opening_ttl();
        }
    }
}
