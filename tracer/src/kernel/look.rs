//! Looks at what makes no event: sockets by cookie, holders of descriptors, settings of a namespace.

use super::{
    namespace::{self, Namespace, SockDiag},
    probes::Probes,
};
use crate::event::{Cookie, Presence};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use nix::errno::Errno;
use std::{
    collections::HashSet,
    net::IpAddr,
    time::{Duration, Instant},
};
use tracer_common::record::socket::Tuple;

/// What is to be looked at, and the namespaces to look in.
pub struct Looks {
    namespaces: HashMap<u32, Namespace>,
    /// The namespaces, once the other end of a socket was looked for.
    places: Vec<Place>,
    sockets: Vec<(Cookie, Tuple)>,
    peers: Vec<(Cookie, Tuple)>,
    holders_wanted: bool,
    holders_next: Instant,
    /// A look at all descriptors that is wanted waits no longer than that for the next one.
    period: Duration,
}

/// Looks at all descriptors are no closer together, however little they cost: one answers for what came meanwhile.
const HOLDERS_APART: Duration = Duration::from_millis(20);

impl Looks {
    /// Finds the namespaces of the host; a look at all descriptors that is wanted waits for at most a `period`.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn new(period: Duration) -> Result<Self> {
        let mut looks = Self {
            namespaces: HashMap::new(),
            places: Vec::new(),
            sockets: Vec::new(),
            peers: Vec::new(),
            holders_wanted: false,
            holders_next: Instant::now(),
            period,
        };
        looks.refresh()?;
        Ok(looks)
    }

    /// A look at one socket is wanted.
    pub fn want_socket(&mut self, cookie: Cookie, tuple: Tuple) {
        self.sockets.push((cookie, tuple));
    }

    /// A look for the other end of a socket is wanted.
    pub fn want_peer(&mut self, of: Cookie, tuple: Tuple) {
        self.peers.push((of, tuple));
    }

    /// A look at all descriptors is wanted.
    pub fn want_holders(&mut self) {
        self.holders_wanted = true;
    }

    /// That look is not to wait.
    pub fn hurry(&mut self) {
        self.holders_next = Instant::now();
    }

    /// Whether that look is to happen now.
    pub fn holders_due(&mut self) -> bool {
        let due = self.holders_wanted && Instant::now() >= self.holders_next;
        self.holders_wanted &= !due;
        due
    }

    /// In how long that look is to happen, where it is wanted.
    pub fn holders_in(&self) -> Option<Duration> {
        self.holders_wanted.then(|| self.holders_next.saturating_duration_since(Instant::now()))
    }

    /// That look has happened; as its cost goes, the next one should be so far away.
    pub fn space_holders(&mut self, apart: Duration) {
        self.holders_next = Instant::now() + apart.max(HOLDERS_APART).min(self.period);
    }

    /// Looks at the sockets that were asked for, each in its namespace.
    pub fn sockets(&mut self) -> Vec<(Cookie, Presence)> {
        let mut by_namespace: HashMap<u32, Vec<(Cookie, Tuple)>> = HashMap::new();
        for (cookie, tuple) in self.sockets.drain(..) {
            by_namespace.entry(tuple.netns).or_default().push((cookie, tuple));
        }
        let mut answers = Vec::new();
        for (netns, asked) in by_namespace {
            let unknown = || asked.iter().map(|(cookie, _)| (*cookie, Presence::Unknown)).collect();
            let found = self
                .namespace(netns)
                .and_then(|namespace| namespace::enter(namespace, || namespace::sockets(&asked)).ok());
            answers.extend(found.unwrap_or_else(unknown));
        }
        answers
    }

    /// Looks for the other ends that were asked for, in every namespace that has their address.
    pub fn peers(&mut self) -> Vec<(Cookie, Presence)> {
        let asked = std::mem::take(&mut self.peers);
        asked.into_iter().map(|(of, tuple)| (of, self.peer(&tuple))).collect()
    }

    fn peer(&mut self, tuple: &Tuple) -> Presence {
        if !self.namespaces.contains_key(&tuple.netns) && self.refresh().is_err() {
            return Presence::Unknown;
        }
        if self.places.is_empty() {
            self.places = self.namespaces.values().filter_map(Place::of).collect();
        }
        let address = tuple.local_address().ip().to_canonical();
        let mut found = Presence::Gone;
        for place in self.places.iter_mut().filter(|place| place.has(address, tuple.netns)) {
            match namespace::any_socket(&mut place.diag, tuple) {
                Presence::Gone => {}
                Presence::Unknown => found = Presence::Unknown,
                presence => return presence,
            }
        }
        found
    }

    /// Every namespace that is known.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// The namespace with this inode number, if it can be found.
    pub fn namespace(&mut self, netns: u32) -> Option<&Namespace> {
        if !self.namespaces.contains_key(&netns) {
            self.refresh().ok()?;
        }
        self.namespaces.get(&netns)
    }

    /// Whether a namespace was there when they were last found.
    pub fn knows(&self, netns: u32) -> bool {
        self.namespaces.contains_key(&netns)
    }

    /// Finds the namespaces anew, and lets go of those that nobody else uses: what is held open here lives on.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn refresh(&mut self) -> Result<()> {
        let known = std::mem::take(&mut self.namespaces).into_values();
        let found = namespace::discover(known).context("finding the network namespaces")?.namespaces;
        self.namespaces = found.into_iter().map(|namespace| (namespace.inum, namespace)).collect();
        self.places.clear();
        Ok(())
    }
}

/// A namespace that can be asked without entering it again.
struct Place {
    netns: u32,
    addresses: HashSet<IpAddr>,
    diag: SockDiag,
}

impl Place {
    fn of(namespace: &Namespace) -> Option<Self> {
        let inside = || -> Result<Self> {
            Ok(Self { netns: namespace.inum, addresses: namespace::addresses()?, diag: SockDiag::open()? })
        };
        namespace::enter(namespace, inside).ok()?.ok()
    }

    /// Whether this may be the host that `netns` calls by this address.
    fn has(&self, address: IpAddr, netns: u32) -> bool {
        if address.is_loopback() { self.netns == netns } else { self.addresses.contains(&address) }
    }
}

/// The records of all sockets of all namespaces that wait for something; every socket is marked on the way. Namespaces
/// that this process may not enter are left out, as [`super::rights::limits`] says.
///
/// # Errors
/// When an iterator cannot be read.
pub fn samples(probes: &mut Probes, looks: &mut Looks) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    if !probes.has("sample") {
        return Ok(records);
    }
    for namespace in looks.namespaces.values() {
        match namespace::enter(namespace, || probes.iterate("sample")) {
            Ok(found) => records.extend(found?),
            Err(error) if error.downcast_ref() == Some(&Errno::EPERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}
