//! What the user asked for: for the kernel programs, and again for what they cannot decide.

use crate::{
    cli::{
        value::{Cgroup, Network, Ports},
        watch::WatchArgs,
    },
    event::{Event, Origin, Owner, Place, Source, What},
    finding::{Finding, Party, Severity},
    name::Comm,
    time::Time,
};
use hashbrown::HashMap;
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tracer_common::{
    State,
    record::socket::{FOLLOWED, Tuple, words},
    settings::{self, FILTER_ENTRIES, PortRange, Settings},
};

/// The filters, resolved.
pub struct Filter {
    port: Option<Ports>,
    local_port: Option<Ports>,
    remote_port: Option<Ports>,
    networks: Vec<Network>,
    ipv4: bool,
    ipv6: bool,
    pids: BTreeSet<u32>,
    comms: Vec<Comm>,
    namespaces: Vec<u32>,
    cgroups: Vec<settings::Cgroup>,
    min_severity: Severity,
    own_pid: Option<u32>,
    /// Whether findings are limited to processes below the command that was started.
    below_command: bool,
    /// When a process was last seen to own a connection that is asked for.
    recent: HashMap<u32, Time>,
}

/// What has no connection of its own is told of a process that owned one that is asked for so lately.
const RECENT: Duration = Duration::from_secs(10);
/// Processes that are remembered so.
const MOST_RECENT: usize = 4_096;

impl Filter {
    /// The filters of a command line, with its namespaces as inode numbers.
    pub fn new(arguments: &WatchArgs, namespaces: Vec<u32>) -> Self {
        Self {
            port: arguments.port.clone(),
            local_port: arguments.local_port.clone(),
            remote_port: arguments.remote_port.clone(),
            networks: arguments.addr.clone(),
            ipv4: arguments.ipv4,
            ipv6: arguments.ipv6,
            pids: arguments.pid.iter().copied().collect(),
            comms: arguments.comm.iter().map(|name| Comm::from(name.as_str())).collect(),
            namespaces,
            cgroups: arguments.cgroup.iter().map(Cgroup::setting).collect(),
            min_severity: arguments.min_severity,
            own_pid: (!arguments.itself).then(std::process::id),
            below_command: !arguments.command.is_empty(),
            recent: HashMap::new(),
        }
    }

    /// Lets the tracer's own connections pass: in another pid namespace than the host's its number may be another's.
    #[must_use]
    pub fn with_own(mut self) -> Self {
        self.own_pid = None;
        self
    }

    /// What the kernel programs can decide. Beyond what fits, user space alone decides.
    pub fn for_kernel(&self, every_event: bool) -> Settings {
        let mut settings = Settings { every_event: every_event.into(), ..Settings::NONE };
        let ranges = |ports: &Option<Ports>, to: &mut [PortRange; FILTER_ENTRIES]| {
            let ranges = ports.as_ref().map_or(&[][..], |ports| &ports.0);
            to[..ranges.len()].copy_from_slice(ranges);
            count(ranges.len())
        };
        settings.port_count = ranges(&self.port, &mut settings.ports);
        settings.local_port_count = ranges(&self.local_port, &mut settings.local_ports);
        settings.remote_port_count = ranges(&self.remote_port, &mut settings.remote_ports);
        if self.networks.len() <= FILTER_ENTRIES {
            for (to, network) in settings.networks.iter_mut().zip(&self.networks) {
                *to = kernel_network(network);
            }
            settings.network_count = count(self.networks.len());
        }
        if self.namespaces.len() <= FILTER_ENTRIES {
            settings.namespaces[..self.namespaces.len()].copy_from_slice(&self.namespaces);
            settings.namespace_count = count(self.namespaces.len());
        }
        settings.cgroups[..self.cgroups.len()].copy_from_slice(&self.cgroups);
        settings.cgroup_count = count(self.cgroups.len());
        settings.families = match (self.ipv4, self.ipv6) {
            (true, false) => settings::IPV4,
            (false, true) => settings::IPV6,
            _ => 0,
        };
        let on = settings.port_count
            | settings.local_port_count
            | settings.remote_port_count
            | settings.network_count
            | settings.namespace_count
            | settings.cgroup_count
            | settings.families;
        settings.filtered = u32::from(on != 0);
        settings.reconcile = self.everybody().into();
        settings.follow = if self.below_command { std::process::id() } else { 0 };
        settings
    }

    /// Whether no flag asks for some connections and not for others: the kernel counts those of everybody.
    fn everybody(&self) -> bool {
        let ports = [&self.port, &self.local_port, &self.remote_port];
        ports.iter().all(|ports| ports.is_none())
            && self.networks.is_empty()
            && !self.ipv4
            && !self.ipv6
            && self.pids.is_empty()
            && self.comms.is_empty()
            && self.namespaces.is_empty()
            && !self.below_command
    }

    /// Whether a finding is to be told.
    pub fn wants(&self, finding: &Finding) -> bool {
        let ends: Vec<&Party> = [Some(&finding.local), finding.peer.as_ref()].into_iter().flatten().collect();
        let owners: Vec<Owner> = ends.iter().filter_map(|end| end.owner).collect();
        finding.severity >= self.min_severity
            && self.wants_owners(&owners)
            && (!self.below_command || ends.iter().any(|end| end.followed))
            && ends.iter().any(|end| {
                if end.connected() {
                    self.wants_connection(&end.tuple, end.state) && (self.cgroups.is_empty() || end.in_cgroup)
                } else {
                    self.wants_namespace(end.tuple.netns)
                }
            })
    }

    /// Whether an event is to be told.
    pub fn wants_event(&mut self, event: &Event) -> bool {
        let (connection, owner, followed) = match &event.what {
            What::StateChange { end, .. }
            | What::ResetReceived { end }
            | What::Error { end }
            | What::SendFailed { end, .. }
            | What::ReceiveFailed { end, .. }
            | What::Retransmit { end, .. }
            | What::Dropped { end, .. }
            | What::ResetSent { origin: Origin::Full(end), .. } => {
                (Some((end.tuple(), Some(end.state))), end.owner(), end.past.flags & FOLLOWED != 0)
            }
            // What has no socket is in no cgroup.
            What::ResetSent { .. } if !self.cgroups.is_empty() => return false,
            What::ResetSent { origin: Origin::Remainder { tuple, substate, .. }, .. } => {
                (Some((*tuple, *substate)), None, false)
            }
            What::ResetSent { origin: Origin::Nothing, segment, .. } => {
                (segment.map(|segment| (segment.tuple, None)), None, false)
            }
            What::Called(called) => match called.end {
                Some(end) => {
                    (Some((end.tuple(), Some(end.state))), end.owner(), end.past.flags & FOLLOWED != 0)
                }
                None if !self.wants_namespace(called.netns) => return false,
                None => (None, Some(caller(event)), false),
            },
            What::BrokenPipe { .. } | What::Exit { .. } => {
                let last = self.recent.get(&event.task.pid);
                if last.is_none_or(|last| event.at.since(*last) >= RECENT) {
                    return false;
                }
                (None, Some(caller(event)), true)
            }
            _ => (None, None, false),
        };
        // What else has no connection passes the kernel's filter only where there is none.
        let wanted = connection.is_none_or(|(tuple, state)| self.wants_connection(&tuple, state))
            && self.wants_owners(owner.as_slice())
            && (!self.below_command || followed);
        if let Some(owner) = owner.filter(|_| wanted && connection.is_some()) {
            if self.recent.len() >= MOST_RECENT {
                self.recent.retain(|_, last| event.at.since(*last) < RECENT);
            }
            self.recent.insert(owner.pid, event.at);
        }
        wanted
    }

    /// Whether one of the owners is asked for and none is the tracer.
    fn wants_owners(&self, owners: &[Owner]) -> bool {
        let asked = |owner: &Owner| {
            let pid = self.pids.is_empty() || self.pids.contains(&owner.pid);
            pid && (self.comms.is_empty() || self.comms.contains(&owner.comm))
        };
        let anybody = self.pids.is_empty() && self.comms.is_empty();
        let own = self.own_pid.is_some_and(|own| owners.iter().any(|owner| owner.pid == own));
        !own && (anybody || owners.iter().any(asked))
    }

    /// Whether a connection, as one of its ends sees it, is asked for.
    fn wants_connection(&self, tuple: &Tuple, state: Option<State>) -> bool {
        let (local, remote) = (tuple.local_address(), tuple.remote_address());
        let port = |ports: &Option<Ports>, number: u16| {
            ports.as_ref().is_none_or(|Ports(ranges)| {
                ranges.iter().any(|range| range.first <= number && number <= range.last)
            })
        };
        // A listener has no other end yet: its own port stands for both, and any address may come.
        let listens = state == Some(State::Listen);
        let remote_port = if listens { local.port() } else { remote.port() };
        let either = port(&self.port, local.port()) || port(&self.port, remote.port());
        let inside =
            |address: SocketAddr| self.networks.iter().any(|Network(net)| net.contains(&address.ip()));
        let anywhere = self.networks.is_empty() || (listens && local.ip().is_unspecified());
        let family = match (self.ipv4, self.ipv6) {
            (true, false) => local.is_ipv4(),
            (false, true) => local.is_ipv6(),
            _ => true,
        };
        either
            && port(&self.local_port, local.port())
            && port(&self.remote_port, remote_port)
            && (anywhere || inside(local) || inside(remote))
            && family
            && self.wants_namespace(tuple.netns)
    }

    fn wants_namespace(&self, netns: u32) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(&netns)
    }
}

/// Who runs at an event that is its own doing.
fn caller(event: &Event) -> Owner {
    Owner {
        pid: event.task.pid,
        comm: event.task.comm,
        source: Source::Io,
        fd: None,
        place: Place::default(),
    }
}

fn count(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}

/// A network as the kernel programs compare it: IPv4 as mapped, so its prefix is 96 bits longer.
fn kernel_network(Network(network): &Network) -> settings::Network {
    let prefix = network.prefix_len() + if network.addr().is_ipv4() { 96 } else { 0 };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    settings::Network {
        address: words(network.network()),
        mask: words(std::net::Ipv6Addr::from(mask).into()),
    }
}

#[cfg(test)]
mod tests;
