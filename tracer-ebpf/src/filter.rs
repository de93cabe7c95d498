//! Is this connection asked for? Filters that are off cost nothing: the verifier removes them.

use crate::{
    kernel::{offset, peek, setting},
    matching,
};
use tracer_common::{
    layout::ABSENT,
    record::socket::{MAPPED_HIGH, MAPPED_LOW, Tuple},
    settings::{Cgroup, FILTER_ENTRIES, IPV4, IPV6, Network, PortRange},
};

/// Whether the filters let a connection pass. A local port of 0 is not yet decided and passes.
#[inline(always)]
pub(crate) fn wants(tuple: *const Tuple) -> bool {
    // SAFETY: the caller passes a filled tuple of its own.
    let port = unsafe { (*tuple).local_port };
    let local = if port == 0 { PortRange::ANY } else { PortRange { first: port, last: port } };
    // SAFETY: as above.
    wants_ports(local, unsafe { (*tuple).remote_port }) && (!beyond_ports() || wants_place(tuple))
}

/// Whether anything but ports and cgroups is asked for.
#[inline(always)]
pub(crate) fn beyond_ports() -> bool {
    setting!(namespace_count) | setting!(families) | setting!(network_count) != 0
}

/// Whether the filters let a connection pass, its ports and cgroup aside.
#[inline(always)]
pub(crate) fn wants_place(tuple: *const Tuple) -> bool {
    // SAFETY: the caller passes a filled tuple of its own.
    let tuple = unsafe { &*tuple };
    wants_namespace(tuple.netns) && wants_family(tuple) && wants_address(tuple)
}

/// Whether the filters let something pass that has no connection of its own: the running process must be in a
/// namespace that is asked for, and own a connection that is, where that is asked for too.
#[inline(always)]
pub(crate) fn wants_process(netns: u32, now: u64) -> bool {
    let of_connections = setting!(port_count)
        | setting!(local_port_count)
        | setting!(remote_port_count)
        | setting!(network_count)
        | setting!(cgroup_count)
        | setting!(families);
    wants_namespace(netns) && (of_connections == 0 || matching::recent(now))
}

/// Whether a socket passes that was made in this cgroup, a `struct cgroup` by its address: it or one above it must be
/// asked for, where any is.
#[inline(always)]
pub(crate) fn wants_cgroup(cgroup: usize) -> bool {
    let count = setting!(cgroup_count);
    count == 0 || {
        let level: u32 = peek(cgroup, offset!(cgroup_level));
        any_of(count, |i| {
            let wanted: Cgroup = setting!(cgroups[i]);
            level >= wanted.level && ancestor(cgroup, wanted.level) == wanted.id
        })
    }
}

/// The inode number of the cgroup above this one, or itself, at a level that it has.
#[inline(always)]
fn ancestor(cgroup: usize, level: u32) -> u64 {
    let of_level = cgroup + level as usize * size_of::<u64>();
    if cgroup == 0 {
        0
    } else if offset!(cgroup_ancestors) != ABSENT {
        let above: usize = peek(of_level, offset!(cgroup_ancestors));
        peek(peek(above, offset!(cgroup_node)), offset!(node_id))
    } else if offset!(cgroup_ancestor_ids) != ABSENT {
        peek(of_level, offset!(cgroup_ancestor_ids))
    } else {
        0
    }
}

/// Whether the filters let a connection pass whose local port is, or will be, one of these.
#[inline(always)]
pub(crate) fn wants_ports(local: PortRange, remote: u16) -> bool {
    let remote = PortRange { first: remote, last: remote };
    let either = setting!(port_count) == 0
        || meets(local, setting!(port_count), |i| setting!(ports[i]))
        || meets(remote, setting!(port_count), |i| setting!(ports[i]));
    let here = setting!(local_port_count) == 0
        || meets(local, setting!(local_port_count), |i| setting!(local_ports[i]));
    let there = setting!(remote_port_count) == 0
        || meets(remote, setting!(remote_port_count), |i| setting!(remote_ports[i]));
    either && here && there
}

#[inline(always)]
fn meets(ports: PortRange, count: u32, wanted: impl Fn(usize) -> PortRange) -> bool {
    any_of(count, |i| {
        let wanted = wanted(i);
        wanted.first <= ports.last && ports.first <= wanted.last
    })
}

/// Whether one of the first `count` entries of a filter holds.
#[inline(always)]
fn any_of(count: u32, holds: impl Fn(usize) -> bool) -> bool {
    for i in 0..FILTER_ENTRIES {
        if i >= count as usize {
            break;
        }
        if holds(i) {
            return true;
        }
    }
    false
}

#[inline(always)]
fn wants_namespace(netns: u32) -> bool {
    let count = setting!(namespace_count);
    count == 0 || any_of(count, |i| setting!(namespaces[i]) == netns)
}

#[inline(always)]
fn wants_family(tuple: &Tuple) -> bool {
    let families = setting!(families);
    families == 0 || {
        let mapped = tuple.remote[0] == MAPPED_HIGH && tuple.remote[1] as u32 == MAPPED_LOW;
        families & if mapped { IPV4 } else { IPV6 } != 0
    }
}

#[inline(always)]
fn wants_address(tuple: &Tuple) -> bool {
    let count = setting!(network_count);
    count == 0
        || any_of(count, |i| {
            let network: Network = setting!(networks[i]);
            within(tuple.local, &network) || within(tuple.remote, &network)
        })
}

#[inline(always)]
fn within(address: [u64; 2], network: &Network) -> bool {
    address[0] & network.mask[0] == network.address[0] && address[1] & network.mask[1] == network.address[1]
}
