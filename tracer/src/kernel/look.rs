//! Looks at what makes no event: sockets by cookie, holders of descriptors, settings of a namespace.

use super::{
    namespace::{self, Namespace, SockDiag},
    probes::Probes,
};
use crate::event::{Cookie, Presence};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use std::time::{Duration, Instant};
use tracer_common::record::socket::Tuple;

/// Namespaces in which one other end is looked for; each costs a system call or two.
const MOST_NAMESPACES: usize = 64;

/// What is to be looked at, and the namespaces to look in.
pub struct Looks {
    namespaces: HashMap<u32, Namespace>,
    /// Asked again and again without entering their namespaces.
    diags: HashMap<u32, SockDiag>,
    sockets: Vec<(Cookie, Tuple)>,
    peers: Vec<(Cookie, Tuple)>,
    holders_wanted: bool,
    holders_next: Instant,
    /// A look at all descriptors costs time with their number: it happens at most this often.
    period: Duration,
}

impl Looks {
    /// Finds the namespaces of the host; looks at all descriptors at most once a `period`.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn new(period: Duration) -> Result<Self> {
        let mut looks = Self {
            namespaces: HashMap::new(),
            diags: HashMap::new(),
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

    /// Whether that look is to happen now.
    pub fn holders_due(&mut self) -> bool {
        let due = self.holders_wanted && Instant::now() >= self.holders_next;
        if due {
            self.holders_wanted = false;
            self.holders_next = Instant::now() + self.period;
        }
        due
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

    /// Looks for the other ends that were asked for, in every namespace: the first that has one.
    pub fn peers(&mut self) -> Vec<(Cookie, Presence)> {
        let asked = std::mem::take(&mut self.peers);
        asked.into_iter().map(|(of, tuple)| (of, self.peer(&tuple))).collect()
    }

    fn peer(&mut self, tuple: &Tuple) -> Presence {
        if !self.namespaces.contains_key(&tuple.netns) && self.refresh().is_err() {
            return Presence::Unknown;
        }
        let loopback = tuple.local_address().ip().to_canonical().is_loopback();
        let own = self.namespaces.keys().filter(|netns| **netns == tuple.netns);
        let others = self.namespaces.keys().filter(|netns| **netns != tuple.netns && !loopback);
        let places: Vec<u32> = own.chain(others).copied().take(MOST_NAMESPACES).collect();
        let mut found = if places.len() < MOST_NAMESPACES { Presence::Gone } else { Presence::Unknown };
        for netns in places {
            match self.diag(netns).map(|diag| namespace::any_socket(diag, tuple)) {
                Some(Presence::Gone) => {}
                Some(Presence::Unknown) | None => found = Presence::Unknown,
                Some(presence) => return presence,
            }
        }
        found
    }

    fn diag(&mut self, netns: u32) -> Option<&mut SockDiag> {
        if !self.diags.contains_key(&netns) {
            let diag = namespace::enter(self.namespaces.get(&netns)?, SockDiag::open).ok()?.ok()?;
            self.diags.insert(netns, diag);
        }
        self.diags.get_mut(&netns)
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
        let found = namespace::all().context("finding the network namespaces")?;
        self.namespaces = found.into_iter().map(|namespace| (namespace.inum, namespace)).collect();
        self.diags.retain(|netns, _| self.namespaces.contains_key(netns));
        Ok(())
    }
}

/// The records of all sockets of all namespaces that wait for something; every socket is marked on the way.
///
/// # Errors
/// When an iterator cannot be read.
pub fn samples(probes: &mut Probes, looks: &mut Looks) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for namespace in looks.namespaces.values() {
        records.extend(namespace::enter(namespace, || probes.iterate("sample"))??);
    }
    Ok(records)
}
