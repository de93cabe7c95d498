//! What the user asked for: for the kernel programs, and again for what they cannot decide.

use crate::{
    cli::{
        value::{Network, Ports},
        watch::WatchArgs,
    },
    event::{Event, Origin, Owner, What},
    finding::{Finding, Party, Severity},
    name::Comm,
};
use std::{collections::BTreeSet, net::SocketAddr};
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
    min_severity: Severity,
    own_pid: Option<u32>,
    /// Whether findings are limited to processes below the command that was started.
    below_command: bool,
}

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
            min_severity: arguments.min_severity,
            own_pid: (!arguments.itself).then(std::process::id),
            below_command: !arguments.command.is_empty(),
        }
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
            | settings.families;
        settings.filtered = u32::from(on != 0);
        settings.follow = if self.below_command { std::process::id() } else { 0 };
        settings
    }

    /// Whether a finding is to be told.
    pub fn wants(&self, finding: &Finding) -> bool {
        let ends: Vec<&Party> = [Some(&finding.local), finding.peer.as_ref()].into_iter().flatten().collect();
        let owners: Vec<Owner> = ends.iter().filter_map(|end| end.owner).collect();
        finding.severity >= self.min_severity
            && self.wants_owners(&owners)
            && (!self.below_command || ends.iter().any(|end| end.followed))
            && ends.iter().any(|end| self.wants_connection(&end.tuple, end.state))
    }

    /// Whether an event is to be told.
    pub fn wants_event(&self, event: &Event) -> bool {
        let (connection, owner, followed) = match &event.what {
            What::StateChange { end, .. }
            | What::ResetReceived { end }
            | What::Error { end }
            | What::SendFailed { end, .. }
            | What::ReceiveFailed { end, .. }
            | What::ResetSent { origin: Origin::Full(end), .. } => {
                (Some((end.tuple(), Some(end.state))), end.owner(), end.past.flags & FOLLOWED != 0)
            }
            What::ResetSent { origin: Origin::Remainder { tuple, substate, .. }, .. } => {
                (Some((*tuple, *substate)), None, false)
            }
            What::ResetSent { origin: Origin::Nothing, segment, .. } => {
                (segment.map(|segment| (segment.tuple, None)), None, false)
            }
            _ => (None, None, false),
        };
        // What has no connection passes the kernel's filter only where there is none.
        connection.is_none_or(|(tuple, state)| self.wants_connection(&tuple, state))
            && self.wants_owners(owner.as_slice())
            && (!self.below_command || followed)
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
            && (self.namespaces.is_empty() || self.namespaces.contains(&tuple.netns))
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
mod tests {
    use super::{Filter, kernel_network};
    use crate::{
        cli::{Cli, Command, value::Network},
        event::{Cookie, Event, Origin, Owner, Source, Task, What},
        finding::{Finding, FindingId, Party, Severity},
        name::Comm,
        time::Time,
    };
    use std::net::SocketAddr;
    use tracer_common::{
        State,
        record::socket::{Tuple, words},
    };

    fn filter(flags: &str, namespaces: &[u32]) -> Filter {
        let line = format!("tcptrace watch --min-severity info {flags}");
        match Cli::read(line.split_whitespace()).expect("a command line").command {
            Command::Watch(arguments) => Filter::new(&arguments, namespaces.to_vec()),
            _ => unreachable!("watch was written"),
        }
    }

    fn owner(pid: u32, comm: &str) -> Owner {
        Owner { pid, comm: Comm::from(comm), source: Source::Io, fd: None }
    }

    fn party(local: &str, remote: &str, netns: u32, owner: impl Into<Option<Owner>>) -> Party {
        let [local, remote] = [local, remote].map(|text| text.parse::<SocketAddr>().expect("an address"));
        let tuple = Tuple {
            local: words(local.ip()),
            remote: words(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
            netns,
        };
        Party {
            tuple,
            cookie: None,
            state: None,
            direction: None,
            age: None,
            preexisting: false,
            uid: None,
            owner: owner.into(),
            followed: false,
        }
    }

    fn finding(local: Party, peer: Option<Party>) -> Finding {
        Finding {
            id: FindingId(1),
            follows: vec![],
            pattern: "connection_refused",
            also: vec![],
            at: Time(1),
            severity: Severity::Warning,
            confidence: 1.0,
            title: "",
            message: String::new(),
            advice: String::new(),
            errno: None,
            signal: None,
            local,
            peer,
            reset: None,
            facts: vec![],
            timeline: vec![],
            count: 1,
            first: Time(1),
            missing: vec![],
        }
    }

    fn wanted(flags: &str, finding: &Finding) -> bool {
        filter(flags, &[]).wants(finding)
    }

    #[test]
    fn user_space_decides_as_the_flags_say() {
        let refused = finding(party("10.0.0.1:40000", "10.0.0.2:81", 1, owner(42, "curl")), None);
        for (flags, wants) in [
            ("", true),
            ("--port 81", true),
            ("--port 40000", true),
            ("--port 80,82-90", false),
            ("-L 81", false),
            ("-L 40000 -D 81", true),
            ("-D 81", true),
            ("--addr 10.0.0.0/24", true),
            ("--addr 10.0.1.0/24", false),
            ("--addr 10.0.1.0/24 --addr 10.0.0.2", true),
            ("--addr ::ffff:10.0.0.2", true),
            ("--addr ::ffff:10.0.0.0/104", true),
            ("--addr ::/0", false),
            ("-4", true),
            ("-6", false),
            ("--pid 42", true),
            ("--pid 43", false),
            ("--comm curl", true),
            ("--comm nginx", false),
            ("--pid 42 --comm nginx", false),
            ("--port 81 --pid 43", false),
        ] {
            assert_eq!(wanted(flags, &refused), wants, "{flags}");
        }
        let least = Filter { min_severity: Severity::Critical, ..filter("", &[]) };
        assert!(!least.wants(&refused));
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped = finding(party("[::ffff:10.0.0.1]:40000", "[::ffff:10.0.0.2]:81", 1, None), None);
        assert!(wanted("-4 --addr 10.0.0.0/8", &mapped));
        assert!(!wanted("-6", &mapped));
        let six = finding(party("[2001:db8::1]:40000", "[2001:db8::2]:81", 1, None), None);
        assert!(wanted("-6 --addr 2001:db8::/32", &six) && !wanted("-4", &six));
    }

    #[test]
    fn filters_must_hold_together_at_one_end_and_owners_at_either() {
        let client = party("10.0.0.1:40000", "10.0.0.2:81", 1, owner(42, "curl"));
        let server = party("10.0.0.2:81", "10.0.0.1:40000", 2, owner(7, "nginx"));
        let both = finding(client, Some(server));
        assert!(wanted("-L 81", &both), "as the server sees it");
        assert!(!wanted("-L 81 -D 81", &both));
        assert!(wanted("--pid 7", &both) && wanted("--comm curl", &both));
        assert!(!wanted("--pid 7 --comm curl", &both), "no process is both");
        assert!(filter("-L 81", &[2]).wants(&both));
        assert!(!filter("-L 81", &[1]).wants(&both), "the server is elsewhere");
    }

    #[test]
    fn names_are_compared_as_the_kernel_keeps_them() {
        let long = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(42, "a-rather-long-name")), None);
        assert!(wanted("--comm a-rather-long-name", &long) && wanted("--comm a-rather-long-n", &long));
        assert!(!wanted("--comm a-rather-long", &long));
    }

    #[test]
    fn the_tracer_and_what_does_not_belong_to_the_command_are_left_out() {
        let own = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(std::process::id(), "tcptrace")), None);
        assert!(!wanted("", &own) && wanted("--self", &own));
        let other = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(42, "curl")), None);
        let command = filter("-- curl", &[]);
        assert!(!command.wants(&other));
        let followed = Finding { local: Party { followed: true, ..other.local.clone() }, ..other };
        assert!(command.wants(&followed));
    }

    #[test]
    fn a_listener_on_the_port_passes_whatever_is_asked_of_the_other_end() {
        let mut listener = party("0.0.0.0:81", "0.0.0.0:0", 1, None);
        listener.state = Some(State::Listen);
        let leak = finding(listener, None);
        assert!(wanted("-D 81", &leak) && wanted("--port 81 --addr 10.0.0.0/8", &leak));
        assert!(!wanted("-D 82", &leak) && !wanted("--port 80", &leak));
    }

    #[test]
    fn events_are_judged_as_findings_are() {
        let tuple = party("10.0.0.1:40000", "10.0.0.2:81", 1, None).tuple;
        let origin = Origin::Remainder { cookie: Cookie(1), tuple, substate: None };
        let what = What::ResetSent { origin, segment: None, reason: None };
        let event = Event { at: Time(1), cpu: 0, task: Task::default(), what };
        let wants = |flags: &str| filter(flags, &[]).wants_event(&event);
        assert!(wants("") && wants("-D 81"));
        assert!(!wants("-L 81") && !wants("--pid 42"));
    }

    #[test]
    fn networks_are_compared_as_they_travel() {
        let network = kernel_network(&Network("10.0.0.0/8".parse().expect("a network")));
        let inside = words([10, 1, 2, 3].into());
        let outside = words([11, 1, 2, 3].into());
        let within = |address: [u64; 2]| (0..2).all(|i| address[i] & network.mask[i] == network.address[i]);
        assert!(within(inside) && !within(outside));
        assert!(!within(words("a00::".parse().expect("an address"))));
    }

    #[test]
    fn no_filter_is_told_to_the_kernel_as_none() {
        assert_eq!(filter("", &[]).for_kernel(false).filtered, 0);
        assert_eq!(filter("-6", &[]).for_kernel(false).filtered, 1);
    }
}
