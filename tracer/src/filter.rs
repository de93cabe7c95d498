//! What the user asked for: for the kernel programs, and again for what they cannot decide.

use crate::{
    cli::{
        value::{Network, Ports},
        watch::WatchArgs,
    },
    finding::{Finding, Party, Severity},
};
use std::{collections::BTreeSet, net::SocketAddr};
use tracer_common::{
    record::socket::words,
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
    comms: Vec<String>,
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
            comms: arguments.comm.clone(),
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
        let owners = || ends.iter().filter_map(|end| end.owner);
        let own = self.own_pid.is_some_and(|own| owners().any(|owner| owner.pid == own));
        let pids = self.pids.is_empty() || owners().any(|owner| self.pids.contains(&owner.pid));
        let comms =
            self.comms.is_empty() || owners().any(|owner| self.comms.contains(&owner.comm.to_string()));
        let command = !self.below_command || ends.iter().any(|end| end.followed);
        let namespaces =
            self.namespaces.is_empty() || ends.iter().any(|end| self.namespaces.contains(&end.tuple.netns));
        finding.severity >= self.min_severity
            && !own
            && pids
            && comms
            && command
            && namespaces
            && ends
                .iter()
                .any(|end| self.wants_addresses(end.tuple.local_address(), end.tuple.remote_address()))
    }

    fn wants_addresses(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let port = |ports: &Option<Ports>, number: u16| {
            ports.as_ref().is_none_or(|Ports(ranges)| {
                ranges.iter().any(|range| range.first <= number && number <= range.last)
            })
        };
        let either = port(&self.port, local.port()) || port(&self.port, remote.port());
        let network = self.networks.is_empty()
            || self
                .networks
                .iter()
                .any(|Network(net)| net.contains(&local.ip()) || net.contains(&remote.ip()));
        let family = match (self.ipv4, self.ipv6) {
            (true, false) => remote.is_ipv4(),
            (false, true) => remote.is_ipv6(),
            _ => true,
        };
        either
            && port(&self.local_port, local.port())
            && port(&self.remote_port, remote.port())
            && network
            && family
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
        finding::Finding,
        scenario::play,
    };
    use clap::Parser;
    use tracer_common::record::socket::words;

    fn filter(flags: &str) -> Filter {
        let line = format!("tcptrace watch --min-severity info {flags}");
        match Cli::try_parse_from(line.split_whitespace()).expect("a command line").command {
            Command::Watch(arguments) => Filter::new(&arguments, Vec::new()),
            _ => unreachable!("watch was written"),
        }
    }

    fn refused() -> Finding {
        let trace = "
            c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
            0ms c CLOSE>SYN_SENT owned
            9ms c reset-received
            9ms c SYN_SENT>CLOSE err=ECONNREFUSED
        ";
        play(trace, |_| true).expect("a history").remove(0)
    }

    #[test]
    fn user_space_decides_as_the_flags_say() {
        for (flags, wanted) in [
            ("", true),
            ("--port 81", true),
            ("--port 40000", true),
            ("--port 80,82-90", false),
            ("-L 81", false),
            ("-D 81", true),
            ("--addr 10.0.0.0/24", true),
            ("--addr 10.0.1.0/24", false),
            ("--addr ::ffff:10.0.0.2", true),
            ("-4", true),
            ("-6", false),
            ("--pid 42", true),
            ("--pid 43", false),
            ("--comm curl", true),
            ("--comm nginx", false),
        ] {
            assert_eq!(filter(flags).wants(&refused()), wanted, "{flags}");
        }
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
        assert_eq!(filter("").for_kernel(false).filtered, 0);
        assert_eq!(filter("-6").for_kernel(false).filtered, 1);
    }
}
