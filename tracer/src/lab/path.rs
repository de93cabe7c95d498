//! Where a connection runs: between which hosts, over what, and with which kind of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the clients of the cases are, and both ends of a loopback path.
    A,
    /// Where the servers of the cases are.
    B,
}

impl Side {
    /// The last byte of the host's addresses.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }
}

/// What lies between the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// Both ends are on host A.
    Loopback,
    /// The ends are on A and B, joined by a veth pair.
    Wire,
    /// The ends are on A and B, joined by the router, which can drop, delay and forge.
    Routed,
}

/// How the sockets of a connection name their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6` with IPv6 addresses.
    V6,
    /// `AF_INET6` with `::ffff:a.b.c.d`, which the tracer tells as IPv4.
    Mapped,
}

/// Where a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// What lies between its ends.
    pub medium: Medium,
    /// How its sockets name their addresses.
    pub family: Family,
}

impl Path {
    /// A path of this medium and family.
    #[must_use]
    pub const fn new(medium: Medium, family: Family) -> Self {
        Self { medium, family }
    }

    /// The host of the server; clients are always on A.
    #[must_use]
    pub const fn server_side(self) -> Side {
        match self.medium {
            Medium::Loopback => Side::A,
            Medium::Wire | Medium::Routed => Side::B,
        }
    }

    /// The address of a host on this path, with this port.
    #[must_use]
    pub fn address(self, side: Side, port: u16) -> SocketAddr {
        let (v4, v6) = match self.medium {
            Medium::Loopback => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            Medium::Wire => WIRE_NETWORK.host(side.number()),
            Medium::Routed => ROUTED_NETWORK.host(side.number()),
        };
        SocketAddr::new(self.family.choose(v4, v6), port)
    }

    /// An address on this path at which nobody ever answers; there is none on a loopback.
    #[must_use]
    pub fn silent_address(self, port: u16) -> Option<SocketAddr> {
        self.neighbour(SILENT_HOST, port)
    }

    /// An address in the network that joins the hosts, of neither of them, which host A can translate.
    #[must_use]
    pub fn virtual_address(self, port: u16) -> Option<SocketAddr> {
        self.neighbour(VIRTUAL_HOST, port)
    }

    /// One of many addresses on this path at which nobody ever answers; there is none on a loopback.
    #[must_use]
    pub fn stranger(self, number: u8, port: u16) -> Option<SocketAddr> {
        self.neighbour(FIRST_STRANGER.saturating_add(number), port)
    }

    /// An address in a network that no host has a route to; `number` is its last byte.
    #[must_use]
    pub fn foreign_address(self, number: u8, port: u16) -> SocketAddr {
        // RFC 5737 and RFC 3849: for documentation, so nobody has them.
        let v4 = Ipv4Addr::new(203, 0, 113, number);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into());
        SocketAddr::new(self.family.choose(v4, v6), port)
    }

    fn neighbour(self, number: u8, port: u16) -> Option<SocketAddr> {
        let network = match self.medium {
            Medium::Loopback => return None,
            Medium::Wire => WIRE_NETWORK,
            Medium::Routed => ROUTED_NETWORK,
        };
        let (v4, v6) = network.host(number);
        Some(SocketAddr::new(self.family.choose(v4, v6), port))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let medium = match self.medium {
            Medium::Loopback => "loopback",
            Medium::Wire => "wire",
            Medium::Routed => "routed",
        };
        let family = match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
            Family::Mapped => "mapped",
        };
        write!(f, "{medium}/{family}")
    }
}

impl Family {
    fn choose(self, v4: Ipv4Addr, v6: Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => v4.into(),
            Self::V6 => v6.into(),
            Self::Mapped => v4.to_ipv6_mapped().into(),
        }
    }
}

/// A network of both families; the last byte of an address is the host.
#[derive(Clone, Copy)]
pub(super) struct Network(u8);

/// What the veth pair joins.
pub(super) const WIRE_NETWORK: Network = Network(1);
/// What the router joins.
pub(super) const ROUTED_NETWORK: Network = Network(2);
/// A host that does not exist.
const SILENT_HOST: u8 = 9;
/// The first of the hosts that do not exist and are many.
const FIRST_STRANGER: u8 = 100;
/// An address that no host has, and that a translation can make lead to one.
const VIRTUAL_HOST: u8 = 77;

impl Network {
    /// The addresses of a host.
    pub(super) fn host(self, number: u8) -> (Ipv4Addr, Ipv6Addr) {
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, self.0.into(), 0, 0, 0, number.into());
        (Ipv4Addr::new(10, 77, self.0, number), v6)
    }
}
