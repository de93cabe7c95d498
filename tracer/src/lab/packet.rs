//! TCP segments as the router reads them, and the packets it forges.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use etherparse::{
    IpSlice, NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket, TcpHeader, TransportSlice,
};

/// ICMP and `ICMPv6` destination unreachable (RFC 792, RFC 4443).
const ICMPV4_UNREACHABLE: u8 = 3;
const ICMPV6_UNREACHABLE: u8 = 1;
/// As much of the offending packet as every ICMP error has room for: an IPv6 header and 20 bytes of TCP.
const QUOTE: usize = 60;
/// The window of a forged SYN, the largest that needs no scaling.
const WINDOW: u16 = u16::MAX;

/// A TCP segment on its way, as far as rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, if it acknowledges.
    pub ack: Option<u32>,
    /// The SYN flag.
    pub syn: bool,
    /// The FIN flag.
    pub fin: bool,
    /// The RST flag.
    pub rst: bool,
    /// The window as it is written in the header, before scaling; 0 is 0 in any scale.
    pub window: u16,
    /// Bytes of data.
    pub payload: u32,
}

impl Segment {
    /// The sequence number that follows this segment.
    #[must_use]
    pub fn next_seq(&self) -> u32 {
        self.seq
            .wrapping_add(self.payload)
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

/// The addresses of an IP packet, and its TCP segment if it carries one; `None` when it is no IP packet.
pub(super) fn read(packet: &[u8]) -> Option<((IpAddr, IpAddr), Option<Segment>)> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let segment = match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => Some(Segment {
            source: SocketAddr::new(source, tcp.source_port()),
            destination: SocketAddr::new(destination, tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            window: tcp.window_size(),
            // An IP packet holds less than 65,536 bytes.
            payload: u32::try_from(tcp.payload().len()).unwrap_or(u32::MAX),
        }),
        _ => None,
    };
    Some(((source, destination), segment))
}

/// A RST with these numbers, as if `source` had sent it over a path that leaves `hops` hops.
pub(super) fn reset(
    source: SocketAddr,
    destination: SocketAddr,
    seq: u32,
    ack: Option<u32>,
    hops: u8,
) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(source.port(), destination.port(), seq, 0);
    tcp.rst = true;
    tcp.ack = ack.is_some();
    tcp.acknowledgment_number = ack.unwrap_or(0);
    without_data(source.ip(), destination.ip(), hops, tcp)
}

/// A SYN without options, as if `source` had sent it over a path that leaves `hops` hops.
pub(super) fn syn(source: SocketAddr, destination: SocketAddr, seq: u32, hops: u8) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(source.port(), destination.port(), seq, WINDOW);
    tcp.syn = true;
    without_data(source.ip(), destination.ip(), hops, tcp)
}

fn without_data(source: IpAddr, destination: IpAddr, hops: u8, tcp: TcpHeader) -> Result<Vec<u8>> {
    let builder = ip(source, destination, hops)?.tcp_header(tcp);
    let mut packet = Vec::with_capacity(builder.size(0));
    builder.write(&mut packet, &[])?;
    Ok(packet)
}

/// The notice that `offending` did not arrive, from `router` to its sender.
pub(super) fn unreachable(router: IpAddr, offending: &[u8], code: u8, hops: u8) -> Result<Vec<u8>> {
    let quote = &offending[..offending.len().min(QUOTE)];
    let sender = match IpSlice::from_slice(offending)? {
        IpSlice::Ipv4(ip) => IpAddr::from(ip.header().source_addr()),
        IpSlice::Ipv6(ip) => IpAddr::from(ip.header().source_addr()),
    };
    let step = ip(router, sender, hops)?;
    let mut packet = Vec::new();
    if sender.is_ipv4() {
        step.icmpv4_raw(ICMPV4_UNREACHABLE, code, [0; 4]).write(&mut packet, quote)?;
    } else {
        step.icmpv6_raw(ICMPV6_UNREACHABLE, code, [0; 4]).write(&mut packet, quote)?;
    }
    Ok(packet)
}

fn ip(source: IpAddr, destination: IpAddr, hops: u8) -> Result<PacketBuilderStep<etherparse::IpHeaders>> {
    let headers = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => etherparse::IpHeaders::Ipv4(
            etherparse::Ipv4Header {
                source: source.octets(),
                destination: destination.octets(),
                time_to_live: hops,
                ..etherparse::Ipv4Header::default()
            },
            etherparse::Ipv4Extensions::default(),
        ),
        (IpAddr::V6(source), IpAddr::V6(destination)) => etherparse::IpHeaders::Ipv6(
            etherparse::Ipv6Header {
                source: source.octets(),
                destination: destination.octets(),
                hop_limit: hops,
                ..etherparse::Ipv6Header::default()
            },
            etherparse::Ipv6Extensions::default(),
        ),
        _ => bail!("{source} and {destination} are of two families"),
    };
    Ok(PacketBuilder::ip(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum that a receiver makes over header fields and data: all ones when the checksum is right (RFC 1071).
    fn sum(parts: &[&[u8]]) -> u16 {
        let bytes = parts.concat();
        let words =
            bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let total: u32 = words.sum();
        let folded = (total & 0xffff) + (total >> 16);
        u16::try_from((folded & 0xffff) + (folded >> 16)).expect("16 bits")
    }

    fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
        let text = if v6 { ["[fd00::1]:80", "[fd00::2]:4242"] } else { ["10.0.0.1:80", "10.0.0.2:4242"] };
        (text[0].parse().expect("an address"), text[1].parse().expect("an address"))
    }

    /// The pseudo header's tail for a payload of this length and protocol.
    fn tail(length: usize, protocol: u8) -> [u8; 4] {
        let length = u16::try_from(length).expect("a short packet").to_be_bytes();
        [length[0], length[1], 0, protocol]
    }

    #[test]
    fn a_forged_reset_is_well_formed() {
        for (v6, addresses, header) in [(false, 12..20, 20), (true, 8..40, 40)] {
            let (source, destination) = ends(v6);
            let bytes = reset(source, destination, 7, Some(9), 33).expect("a packet");
            let (pair, segment) = read(&bytes).expect("an IP packet");
            assert_eq!(pair, (source.ip(), destination.ip()));
            let segment = segment.expect("a segment");
            assert_eq!((segment.source, segment.destination), (source, destination));
            assert_eq!((segment.seq, segment.ack, segment.rst, segment.syn), (7, Some(9), true, false));
            assert_eq!(bytes[if v6 { 7 } else { 8 }], 33);
            let tcp = &bytes[header..];
            assert_eq!(sum(&[&bytes[addresses], &tail(tcp.len(), 6), tcp]), 0xffff);
            if !v6 {
                assert_eq!(sum(&[&bytes[..header]]), 0xffff);
            }
        }
    }

    #[test]
    fn a_forged_syn_asks_for_a_connection() {
        for v6 in [false, true] {
            let (source, destination) = ends(v6);
            let bytes = syn(source, destination, 7, 64).expect("a packet");
            let (_, segment) = read(&bytes).expect("an IP packet");
            let segment = segment.expect("a segment");
            assert_eq!((segment.source, segment.destination), (source, destination));
            assert_eq!((segment.seq, segment.ack, segment.rst, segment.syn), (7, None, false, true));
        }
    }

    #[test]
    fn a_notice_quotes_what_did_not_arrive() {
        for (v6, header) in [(false, 20), (true, 40)] {
            let (source, destination) = ends(v6);
            let offending = reset(source, destination, 7, None, 64).expect("a packet");
            let bytes = unreachable(destination.ip(), &offending, 1, 64).expect("a packet");
            assert_eq!(read(&bytes).expect("an IP packet"), ((destination.ip(), source.ip()), None));
            let icmp = &bytes[header..];
            assert_eq!(icmp[..2], if v6 { [1, 1] } else { [3, 1] });
            assert_eq!(icmp[8..], offending[..]);
            let pseudo = if v6 { [&bytes[8..40], &tail(icmp.len(), 58)].concat() } else { Vec::new() };
            assert_eq!(sum(&[&pseudo, icmp]), 0xffff);
        }
    }

    #[test]
    fn numbers_count_syn_fin_and_data() {
        let (source, destination) = ends(false);
        let segment = |syn, fin, payload| {
            let (seq, ack, rst, window) = (u32::MAX, None, false, 0);
            Segment { source, destination, seq, ack, syn, fin, rst, window, payload }.next_seq()
        };
        assert_eq!(segment(false, false, 0), u32::MAX);
        assert_eq!(segment(true, false, 0), 0);
        assert_eq!(segment(false, true, 10), 10);
    }

    #[test]
    fn what_is_no_ip_packet_is_not_read() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0x45, 0]), None);
        assert_eq!(read(&[0xff; 40]), None);
    }
}
