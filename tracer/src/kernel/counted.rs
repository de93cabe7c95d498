//! What the kernel itself counts of TCP in a network namespace.

use super::namespace::{Namespace, enter};
use anyhow::{Context, Result};
use nix::{
    getsockopt_impl, libc, sockopt_impl,
    sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket},
};
use std::{
    fs::File,
    io::{Read, Seek},
};
use tracer_common::reconcile::KernelCounter;

sockopt_impl!(
    /// The cookie of the network namespace a socket is in.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// The counters of one namespace, open: they stay its own, and keep it alive.
#[derive(Debug)]
pub struct Counters {
    /// The namespace's cookie, which no other ever has; none before Linux 5.14.
    pub cookie: Option<u64>,
    snmp: File,
    netstat: File,
}

/// What was counted since the namespace was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By the index of the counter.
    pub counters: [u64; KernelCounter::ALL.len()],
    /// `ListenOverflows`
    pub listen_overflows: u64,
    /// `ListenDrops`
    pub listen_drops: u64,
    /// `EmbryonicRsts`
    pub embryonic_resets: u64,
}

impl Counters {
    /// Opens the counters of a namespace.
    ///
    /// # Errors
    /// When it cannot be entered, or there is no `/proc`.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        enter(namespace, Self::own)?
    }

    /// Opens the counters of the calling thread's namespace.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn own() -> Result<Self> {
        let open = |name| {
            let path = format!("/proc/thread-self/net/{name}");
            File::open(&path).with_context(|| format!("opening {path}"))
        };
        Ok(Self { cookie: own_cookie(), snmp: open("snmp")?, netstat: open("netstat")? })
    }

    /// Reads them.
    ///
    /// # Errors
    /// When they cannot be read, or this kernel does not count one of them.
    pub fn read(&mut self) -> Result<Counted> {
        let (snmp, netstat) = (text(&mut self.snmp)?, text(&mut self.netstat)?);
        parse(&snmp, &netstat).context("this kernel does not count what others do")
    }
}

/// The cookie of the calling thread's namespace; none where the kernel tells none.
pub fn own_cookie() -> Option<u64> {
    // Sockets of any family are in the namespace, and every kernel has this one.
    let any = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    getsockopt(&any, NetnsCookie).ok()
}

/// What a file of counters says now.
///
/// # Errors
/// When it cannot be read.
pub(super) fn text(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind().context("reading the counters of TCP")?;
    file.read_to_string(&mut text).context("reading the counters of TCP")?;
    Ok(text)
}

fn parse(snmp: &str, netstat: &str) -> Option<Counted> {
    let basic = Table::find(snmp, "Tcp: ")?;
    let extended = Table::find(netstat, "TcpExt: ")?;
    let mut counted = Counted {
        listen_overflows: extended.value("ListenOverflows")?,
        listen_drops: extended.value("ListenDrops")?,
        embryonic_resets: extended.value("EmbryonicRsts")?,
        ..Counted::default()
    };
    for (counter, value) in KernelCounter::ALL.iter().zip(&mut counted.counters) {
        let name = counter.name();
        *value = basic.value(name).or_else(|| extended.value(name))?;
    }
    Some(counted)
}

/// A line of names and the line of values after it.
pub(super) struct Table<'a> {
    names: &'a str,
    values: &'a str,
}

impl<'a> Table<'a> {
    /// The first whose lines begin so.
    pub(super) fn find(text: &'a str, beginning: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(beginning));
        Some(Self { names: lines.next()?, values: lines.next()? })
    }

    /// The counter of this name; none where this kernel has none.
    pub(super) fn value(&self, name: &str) -> Option<u64> {
        let place = self.names.split(' ').position(|known| known == name)?;
        self.values.split(' ').nth(place)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, parse};

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 2 64\n\
                        Tcp: RtoAlgorithm MaxConn AttemptFails EstabResets OutRsts InCsumErrors\n\
                        Tcp: 1 -1 11 22 33 0\n";
    const NETSTAT: &str = "TcpExt: EmbryonicRsts ListenOverflows ListenDrops TCPAbortOnData TCPAbortOnClose \
                           TCPAbortOnMemory TCPAbortOnTimeout TCPAbortOnLinger\n\
                           TcpExt: 1 2 3 4 5 6 7 8\nIpExt: InNoRoutes\nIpExt: 9\n";

    #[test]
    fn counters_are_found_by_their_names() {
        let counted = Counted {
            counters: [33, 22, 5, 4, 8, 6, 7, 11],
            listen_overflows: 2,
            listen_drops: 3,
            embryonic_resets: 1,
        };
        assert_eq!(parse(SNMP, NETSTAT), Some(counted));
    }

    #[test]
    fn what_is_not_counted_is_not_zero() {
        assert_eq!(parse(SNMP, &NETSTAT.replace("TCPAbortOnMemory", "TCPOther")), None);
        assert_eq!(parse(&SNMP.replace("Tcp:", "Udp:"), NETSTAT), None);
        assert_eq!(parse(SNMP, "TcpExt: EmbryonicRsts\n"), None, "names without values");
    }
}
