//! Reads of the segment a reset answers.

use crate::{
    kernel::{load, offset},
    sock::mapped,
};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::ptr::addr_of_mut;
use tracer_common::record::{reset_sent::Segment, socket::Tuple};

/// EtherType of IPv4.
const ETH_P_IP: u16 = 0x0800;
/// Bytes of a TCP header up to its checksum.
const TCP_BYTES: u32 = 16;

/// Writes what the segment in `skb` says; nothing when its headers cannot be read.
///
/// Its headers are in the linear part by the time a reset answers it: `tcp_v4_rcv()` and `tcp_v6_rcv()` pull
/// them. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2184-L2202>
#[inline(always)]
pub(crate) fn read(skb: *const u8, to: *mut Segment) {
    let head: u64 = load(skb, offset!(skb_head));
    let transport: u16 = load(skb, offset!(skb_transport));
    let network: u16 = load(skb, offset!(skb_network));
    let mut tcp = [0u32; 4];
    let mut ip = [0u64; 5];
    let (tcp_at, ip_at) = (head + u64::from(transport), head + u64::from(network));
    if !probe(tcp_at, &mut tcp, TCP_BYTES) || !probe(ip_at, &mut ip, 40) {
        return;
    }
    let ports = u32::from_be(tcp[0]);
    let offset_and_flags = u32::from_be(tcp[3]) >> 16;
    let tcp_header = (offset_and_flags >> 12) * 4;
    let v4 = load::<u16>(skb, offset!(skb_protocol)) == ETH_P_IP.to_be();
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
            netns: load(net(skb), offset!(net_inum)),
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
fn time_to_live(v4: bool, ip: &[u64; 5]) -> u8 {
    if v4 { ip[1].to_ne_bytes()[0] } else { ip[0].to_ne_bytes()[7] }
}

/// The time to live of the packet in `skb`; 0 when its header cannot be read.
#[inline(always)]
pub(crate) fn ttl(skb: *const u8) -> u8 {
    let head: u64 = load(skb, offset!(skb_head));
    let network: u16 = load(skb, offset!(skb_network));
    let mut ip = [0u64; 5];
    if !probe(head + u64::from(network), &mut ip, 16) {
        return 0;
    }
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

/// The network namespace it came into; NULL when that is not known.
#[inline(always)]
pub(crate) fn net(skb: *const u8) -> *const u8 {
    let device = load::<usize>(skb, offset!(skb_dev)) as *const u8;
    if device.is_null() {
        return device;
    }
    load::<usize>(device, offset!(dev_net)) as *const u8
}

#[inline(always)]
fn probe<T>(from: u64, to: &mut T, bytes: u32) -> bool {
    // SAFETY: `to` is at least `bytes` long; the helper checks the source.
    unsafe { bpf_probe_read_kernel(addr_of_mut!(*to).cast(), bytes, from as *const _) == 0 }
}
