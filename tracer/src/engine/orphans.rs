//! Orphans in FIN_WAIT2 that were parked as TIME_WAIT remainders: the kernel tells no more of them.

use super::table::addresses;
use crate::{event::Cookie, pattern::Parked, time::Time};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::VecDeque;
use tracer_common::record::socket::Tuple;

/// Parked orphans by cookie and by addresses. Bounded: the oldest give way, which is counted.
pub(super) struct Orphans {
    parked: HashMap<Cookie, Parked, RandomState>,
    by_addresses: HashMap<Tuple, Cookie, RandomState>,
    arrivals: VecDeque<(Time, Cookie)>,
    capacity: usize,
    /// How many gave way.
    pub(super) evicted: u64,
    /// How many came without a cookie and were not known.
    unnamed: u64,
}

impl Orphans {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            parked: HashMap::default(),
            by_addresses: HashMap::default(),
            arrivals: VecDeque::new(),
            capacity,
            evicted: 0,
            unnamed: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn insert(&mut self, orphan: Parked) {
        if self.parked.len() >= self.capacity {
            while let Some((_, cookie)) = self.arrivals.pop_front() {
                if self.remove(cookie).is_some() {
                    self.evicted += 1;
                    break;
                }
            }
        }
        self.arrivals.push_back((orphan.at, orphan.cookie));
        self.by_addresses.insert(addresses(orphan.tuple), orphan.cookie);
        self.parked.insert(orphan.cookie, orphan);
    }

    /// By what a remainder is known: its cookie; where it has none, that of the orphan with its addresses, or else a
    /// number that no socket has.
    pub(super) fn name(&mut self, cookie: Cookie, tuple: Tuple) -> Cookie {
        if cookie != Cookie(0) {
            return cookie;
        }
        self.by_addresses.get(&addresses(tuple)).copied().unwrap_or_else(|| {
            self.unnamed += 1;
            Cookie(u64::MAX - self.unnamed)
        })
    }

    pub(super) fn get(&self, cookie: Cookie) -> Option<&Parked> {
        self.parked.get(&cookie)
    }

    pub(super) fn get_mut(&mut self, cookie: Cookie) -> Option<&mut Parked> {
        self.parked.get_mut(&cookie)
    }

    /// The orphan at the other end of a connection.
    pub(super) fn peer(&self, of: Tuple) -> Option<&Parked> {
        self.by_addresses.get(&addresses(of.swapped())).and_then(|cookie| self.parked.get(cookie))
    }

    pub(super) fn remove(&mut self, cookie: Cookie) -> Option<Parked> {
        let orphan = self.parked.remove(&cookie)?;
        let key = addresses(orphan.tuple);
        if self.by_addresses.get(&key) == Some(&cookie) {
            self.by_addresses.remove(&key);
        }
        Some(orphan)
    }

    /// Forgets those that the kernel has forgotten as well, and that nothing can refer to.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some((at, cookie)) = self.arrivals.front().copied() {
            match self.parked.get(&cookie) {
                Some(orphan) if orphan.at + orphan.stays + super::KEEP_CLOSED > now && orphan.at == at => {
                    break;
                }
                Some(orphan) if orphan.at == at => drop(self.remove(cookie)),
                _ => {}
            }
            self.arrivals.pop_front();
        }
    }
}
