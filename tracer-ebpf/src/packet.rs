//! Reads of the segment a reset answers.

use crate::{
    kernel::{load, number, offset, peek},
    sock::mapped,
};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::mem::MaybeUninit;
use tracer_common::record::{reset_sent::Segment, socket::Tuple};

/// EtherType of IPv4.
const ETH_P_IP: u16 = 0x0800;

/// Where TCP's flags are in its header, and that of RST, RFC 9293.
const FLAGS: u64 = 13;
const RST: u8 = 0x04;
/// A bit beside the address of a route: that nobody holds it.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/skbuff.h#L1130-L1140>
const NO_REFERENCE: usize = 1;
/// `RTF_LOCAL`. <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/ipv6_route.h#L40>
const RTF_LOCAL: u32 = 0x8000_0000;

/// Writes what the segment in `skb` says; nothing when its headers cannot be read.
///
/// Its headers are in the linear part by the time a reset answers it: `tcp_v4_rcv()` and `tcp_v6_rcv()` pull
/// them. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2184-L2202>
#[inline(always)]
pub(crate) fn read(skb: usize, to: *mut Segment) {
    let head: u64 = peek(skb, offset!(skb_head));
    let transport: u16 = peek(skb, offset!(skb_transport));
    let network: u16 = peek(skb, offset!(skb_network));
    let (tcp_at, ip_at) = (head + u64::from(transport), head + u64::from(network));
    // TCP's up to its checksum.
    let (Some(tcp), Some(ip)) = (probe::<[u32; 4]>(tcp_at), probe::<[u64; 5]>(ip_at)) else { return };
    let ports = u32::from_be(tcp[0]);
    let offset_and_flags = u32::from_be(tcp[3]) >> 16;
    let tcp_header = (offset_and_flags >> 12) * 4;
    let v4 = peek::<u16>(skb, offset!(skb_protocol)) == ETH_P_IP.to_be();
    let (source, destination, ip_payload) = if v4 {
        let header = (ip[0] as u32 & 0xf) * 4;
        let total = u32::from(u16::from_be((ip[0] >> 16) as u16));
        (mapped((ip[1] >> 32) as u32), mapped(ip[2] as u32), total.wrapping_sub(header))
    } else {
        // Extension headers count as payload of the IPv6 header: what lies before TCP is taken off.
        let extensions = u32::from(transport.wrapping_sub(network)).wrapping_sub(40);
        let payload = u32::from(u16::from_be((ip[0] >> 32) as u16));
        ([ip[1], ip[2]], [ip[3], ip[4]], payload.wrapping_sub(extensions))
    };
    let segment = Segment {
        tuple: Tuple {
            local: destination,
            remote: source,
            local_port: ports as u16,
            remote_port: (ports >> 16) as u16,
            netns: peek(net(skb), offset!(net_inum)),
        },
        seq: u32::from_be(tcp[1]),
        ack: u32::from_be(tcp[2]),
        payload: ip_payload.wrapping_sub(tcp_header),
        tcp_flags: offset_and_flags as u8,
        ttl: time_to_live(v4, &ip),
        reserved: [0; 2],
    };
    // SAFETY: `to` lies in a record that the caller owns.
    unsafe { to.write(segment) }
}

/// IPv4: the ninth byte of the header; IPv6: the eighth, the hop limit.
#[inline(always)]
fn time_to_live(v4: bool, ip: &[u64]) -> u8 {
    if v4 { ip[1].to_ne_bytes()[0] } else { ip[0].to_ne_bytes()[7] }
}

/// The time to live of the packet in `skb`; 0 when its header cannot be read.
#[inline(always)]
pub(crate) fn ttl(skb: *const u8) -> u8 {
    let head: u64 = load(skb, offset!(skb_head));
    let network: u16 = load(skb, offset!(skb_network));
    let Some(ip) = probe::<[u64; 2]>(head + u64::from(network)) else { return 0 };
    time_to_live(load::<u16>(skb, offset!(skb_protocol)) == ETH_P_IP.to_be(), &ip)
}

/// TCP's flags of a segment that TCP has taken.
///
/// The control block holds them from `tcp_v4_fill_cb()` on.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2158-L2178>
#[inline(always)]
pub(crate) fn taken_flags(skb: *const u8) -> u8 {
    load(skb, offset!(cb) + offset!(cb_flags))
}

/// The sequence number of a segment that is to be sent.
#[inline(always)]
pub(crate) fn own_seq(skb: *const u8) -> u32 {
    load(skb, offset!(cb) + offset!(cb_seq))
}

/// The network namespace it came into, by its address; 0 when that is not known.
#[inline(always)]
pub(crate) fn net(skb: usize) -> usize {
    peek(peek::<usize>(skb, offset!(skb_dev)), offset!(dev_net))
}

/// Whether it is a RST.
#[inline(always)]
pub(crate) fn is_reset(skb: usize) -> bool {
    let head: u64 = peek(skb, offset!(skb_head));
    let transport: u16 = peek(skb, offset!(skb_transport));
    probe::<u8>(head + u64::from(transport) + FLAGS).is_some_and(|flags| flags & RST != 0)
}

/// Whether its route ends at this host.
#[inline(always)]
pub(crate) fn came_here(skb: usize) -> bool {
    let route = peek::<usize>(skb, offset!(skb_route)) & !NO_REFERENCE;
    if peek::<u16>(skb, offset!(skb_protocol)) == ETH_P_IP.to_be() {
        u32::from(peek::<u16>(route, offset!(route_type))) == number!(route_local)
    } else {
        peek::<u32>(route, offset!(route6_flags)) & RTF_LOCAL != 0
    }
}

#[inline(always)]
fn probe<T>(from: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source, and fills all of the value, which may hold any bits.
    unsafe {
        let error = bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const _);
        (error == 0).then(|| value.assume_init())
    }
}
