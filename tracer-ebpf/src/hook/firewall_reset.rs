//! The start of `nf_send_reset(struct net *net, struct sock *sk, struct sk_buff *oldskb, int hook)`, and of
//! `nf_send_reset6()`, which takes the same: a rule of nftables or iptables rejects with a RST. No event tells of it.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/netfilter/nf_reject_ipv4.c>,
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/netfilter/nf_reject_ipv6.c>

use crate::{
    attach::Arguments as _,
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{offset, peek},
    packet,
};
use aya_ebpf::{
    macros::{btf_map, kprobe},
    programs::ProbeContext,
};
use core::ptr::addr_of_mut;
use tracer_common::{
    counter::Counter,
    record::{Kind, firewall_reset::FirewallReset, reset_sent::Segment, socket::Tuple},
};

/// Resets of rules.
#[btf_map]
static REJECTED: Seconds<1> = Seconds::new();

#[kprobe]
pub(crate) fn firewall_reset_v4_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as usize, ctx.at(2) as usize);
    0
}

#[kprobe]
pub(crate) fn firewall_reset_v6_kprobe(ctx: ProbeContext) -> u32 {
    take(ctx.at(0) as usize, ctx.at(2) as usize);
    0
}

#[inline(always)]
fn take(net: usize, skb: usize) {
    // A RST is not answered: `nf_reject_ip_tcphdr_get()`.
    if packet::is_reset(skb) {
        return;
    }
    let mut segment = Segment::default();
    packet::read(skb, &raw mut segment);
    // What this host sends has no device yet.
    segment.tuple.netns = peek(net, offset!(net_inum));
    let to = segment.tuple;
    // Told of is the end that gets the RST.
    let sender = Tuple {
        local: to.remote,
        remote: to.local,
        local_port: to.remote_port,
        remote_port: to.local_port,
        netns: to.netns,
    };
    if !filter::wants(&raw const sender) {
        count(Counter::Filtered);
        return;
    }
    let now = emit::now();
    if flood::beyond(&REJECTED, 0, now) {
        count(Counter::ResetFlood);
        return;
    }
    let Some(record) = emit::reserve::<FirewallReset>(Kind::FirewallReset, now) else { return };
    // SAFETY: the record is reserved and ours.
    unsafe { addr_of_mut!((*record).segment).write(segment) }
    emit::submit(record, now, Urgency::Batch);
}
