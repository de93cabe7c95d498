//! What user space asks of the kernel programs; fixed while they are loaded.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most ranges, networks or namespaces one filter holds.
pub const FILTER_ENTRIES: usize = 32;

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };
}

/// Addresses with a common prefix; IPv4 as `::ffff:a.b.c.d`, in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Network {
    /// The prefix.
    pub address: [u64; 2],
    /// One bits where the prefix counts.
    pub mask: [u64; 2],
}

/// A cgroup of version 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// Inode number of its directory.
    pub id: u64,
    /// How far it is below the root.
    pub level: u32,
    /// Always zero.
    pub reserved: u32,
}

/// [`Settings::families`]: IPv4, mapped addresses included.
pub const IPV4: u32 = 1;
/// [`Settings::families`]: IPv6.
pub const IPV6: u32 = 2;

/// The settings. A count of 0 means that its filter is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// Networks of which one must hold either end.
    pub networks: [Network; FILTER_ENTRIES],
    /// For how long segments are counted before their loss is judged, in nanoseconds.
    pub lossy_over_ns: u64,
    /// A close that is not acknowledged for so long is told, in nanoseconds; 0 for never.
    pub stuck_after_ns: u64,
    /// Cgroups in which, or below which, a socket was made.
    pub cgroups: [Cgroup; FILTER_ENTRIES],
    /// Ranges for the port of either end.
    pub ports: [PortRange; FILTER_ENTRIES],
    /// Ranges for the local port.
    pub local_ports: [PortRange; FILTER_ENTRIES],
    /// Ranges for the remote port.
    pub remote_ports: [PortRange; FILTER_ENTRIES],
    /// Inode numbers of network namespaces.
    pub namespaces: [u32; FILTER_ENTRIES],
    /// How many networks count.
    pub network_count: u32,
    /// How many port ranges count.
    pub port_count: u32,
    /// How many local port ranges count.
    pub local_port_count: u32,
    /// How many remote port ranges count.
    pub remote_port_count: u32,
    /// How many namespaces count.
    pub namespace_count: u32,
    /// How many cgroups count.
    pub cgroup_count: u32,
    /// [`IPV4`], [`IPV6`], both bits or 0 for any.
    pub families: u32,
    /// 1: every state change travels (`--events`), not only those a pattern needs.
    pub every_event: u32,
    /// 1: some filter is on; 0 spares the programs even to read the addresses.
    pub filtered: u32,
    /// After so many jiffies of silence an open connection without keepalive is told by a look; 0 for never.
    pub idle_jiffies: u32,
    /// Segments sent again of a million that make a connection lossy; 0 for never.
    pub lossy_share_ppm: u32,
    /// Fewer segments than this say nothing of a loss.
    pub lossy_segments: u32,
    /// 1: full segments that do not get through while smaller ones do are told.
    pub blackhole: u32,
    /// 1: FIN_WAIT1 to CLOSING travels.
    pub closing: u32,
    /// 1: a close() that waits for the peer (`SO_LINGER` above 0) travels.
    pub lingers: u32,
    /// A process whose descendants' sockets are marked; 0 for none.
    pub follow: u32,
    /// 1: what explains the kernel's own counters is counted ([`crate::reconcile`]).
    pub reconcile: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Every entry of a filter.
#[expect(clippy::cast_possible_truncation, reason = "there are few")]
const ALL: u32 = FILTER_ENTRIES as u32;

impl Settings {
    /// No filter, and only what patterns need.
    pub const NONE: Self = Self {
        networks: [Network { address: [0; 2], mask: [0; 2] }; FILTER_ENTRIES],
        lossy_over_ns: 0,
        stuck_after_ns: 0,
        cgroups: [Cgroup { id: 0, level: 0, reserved: 0 }; FILTER_ENTRIES],
        ports: [PortRange { first: 0, last: 0 }; FILTER_ENTRIES],
        local_ports: [PortRange { first: 0, last: 0 }; FILTER_ENTRIES],
        remote_ports: [PortRange { first: 0, last: 0 }; FILTER_ENTRIES],
        namespaces: [0; FILTER_ENTRIES],
        network_count: 0,
        port_count: 0,
        local_port_count: 0,
        remote_port_count: 0,
        namespace_count: 0,
        cgroup_count: 0,
        families: 0,
        every_event: 0,
        filtered: 0,
        idle_jiffies: 0,
        lossy_share_ppm: 0,
        lossy_segments: 0,
        blackhole: 0,
        closing: 0,
        lingers: 0,
        follow: 0,
        reconcile: 0,
        reserved: 0,
    };

    /// All that can be asked for at once: what the kernel's verifier walks most for.
    pub const EVERYTHING: Self = Self {
        lossy_over_ns: 1,
        stuck_after_ns: 1,
        network_count: ALL,
        port_count: ALL,
        local_port_count: ALL,
        remote_port_count: ALL,
        namespace_count: ALL,
        cgroup_count: ALL,
        families: IPV4,
        every_event: 1,
        filtered: 1,
        idle_jiffies: 1,
        lossy_share_ppm: 1,
        lossy_segments: 1,
        blackhole: 1,
        closing: 1,
        lingers: 1,
        follow: 1,
        reconcile: 1,
        ..Self::NONE
    };
}
