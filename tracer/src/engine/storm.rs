//! Many equal findings become one record a window; the sum of the counts is the total.

use crate::{
    finding::{Fact, Finding, VARIOUS_SERVICES},
    pattern::Group,
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// More storms at a time than a person can read of; beyond it findings leave one by one.
const CAPACITY: usize = 4_096;
/// A process that has one trouble with more service ends within a window scans them, or is scanned: what is told of
/// any further one is one storm.
const SERVICES: usize = 64;

/// What makes findings equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) pattern: &'static str,
    /// Process id; 0 when no owner is known.
    pub(super) owner: u32,
    /// The service's address and port, and its namespace, where that tells them apart.
    pub(super) service: Option<(SocketAddr, u32)>,
    pub(super) group: Group,
}

struct Storm {
    until: Time,
    /// The newest finding of this window, with the count since the last record.
    held: Option<Finding>,
    /// All there were.
    total: usize,
}

impl Key {
    /// The storm of all further services in this namespace.
    fn of_various(self) -> Self {
        let anywhere = |(_, netns)| (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), netns);
        Self { service: self.service.map(anywhere), ..self }
    }

    fn is_of_various(&self) -> bool {
        self.service.is_some() && *self == self.of_various()
    }
}

/// The storms that go on.
#[derive(Default)]
pub(super) struct Storms {
    by_key: HashMap<Key, Storm, RandomState>,
    /// How many of them differ in nothing but the service.
    services: HashMap<Key, usize, RandomState>,
    /// Ends of windows, oldest first: all windows are equally long.
    windows: VecDeque<(Time, Key)>,
}

impl Storms {
    /// How many findings of this key the storm has seen so far.
    pub(super) fn total(&self, key: &Key) -> usize {
        self.by_key.get(key).map_or(0, |storm| storm.total)
    }

    /// Takes a finding; gives it back when it is to leave at once.
    pub(super) fn take(
        &mut self,
        mut key: Key,
        finding: Finding,
        now: Time,
        window: Duration,
    ) -> Option<Finding> {
        let various = key.of_various();
        if !self.by_key.contains_key(&key)
            && self.services.get(&various).is_some_and(|many| *many >= SERVICES)
        {
            key = various;
        }
        if let Some(storm) = self.by_key.get_mut(&key) {
            storm.total += 1;
            let mut held = match storm.held.take() {
                None => finding,
                Some(held) => merge(held, finding),
            };
            let says_so = held.facts.iter().any(|(name, _)| *name == VARIOUS_SERVICES);
            if key.is_of_various() && held.count > 1 && !says_so {
                held.facts.push((VARIOUS_SERVICES, Fact::Flag(true)));
            }
            storm.held = Some(held);
            return None;
        }
        if self.by_key.len() < CAPACITY && !window.is_zero() {
            let until = now + window;
            self.by_key.insert(key, Storm { until, held: None, total: 1 });
            *self.services.entry(various).or_default() += 1;
            self.windows.push_back((until, key));
        }
        Some(finding)
    }

    /// What a window held, when it ends by `now`. A window without findings ends its storm.
    pub(super) fn due(&mut self, now: Time, window: Duration) -> Option<Finding> {
        loop {
            let (_, key) = self.windows.pop_front_if(|(until, _)| *until <= now)?;
            let Some(storm) = self.by_key.get_mut(&key) else { continue };
            let Some(held) = storm.held.take() else {
                self.by_key.remove(&key);
                self.end(key.of_various());
                continue;
            };
            storm.until = now + window;
            self.windows.push_back((storm.until, key));
            return Some(held);
        }
    }

    /// Everything held, at the end of a run.
    pub(super) fn flush(&mut self) -> Vec<Finding> {
        self.windows.clear();
        self.services.clear();
        let mut held: Vec<Finding> = self.by_key.drain().filter_map(|(_, storm)| storm.held).collect();
        held.sort_by_key(|finding| finding.at);
        held
    }

    /// One service less.
    fn end(&mut self, various: Key) {
        if let Some(many) = self.services.get_mut(&various) {
            *many -= 1;
            if *many == 0 {
                self.services.remove(&various);
            }
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.windows.front().map(|(until, _)| *until)
    }
}

/// The newer finding, standing for both.
fn merge(held: Finding, newer: Finding) -> Finding {
    let mut missing = held.missing;
    missing
        .extend(newer.missing.iter().copied().filter(|cause| !missing.contains(cause)).collect::<Vec<_>>());
    Finding {
        count: held.count + newer.count,
        first: held.first.min(newer.first),
        severity: held.severity.max(newer.severity),
        missing,
        ..newer
    }
}
