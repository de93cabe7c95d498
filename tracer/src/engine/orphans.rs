//! Orphans in FIN_WAIT2 that were parked as TIME_WAIT remainders: the kernel tells no more of them.

use super::{
    KEEP_CLOSED,
    aged::{Aged, Place},
    index::Index,
    table::addresses,
};
use crate::{event::Cookie, pattern::Parked, time::Time};
use tracer_common::record::socket::Tuple;

/// Parked orphans by cookie and by addresses. Bounded: the oldest give way, which is counted.
pub(super) struct Orphans {
    parked: Aged<Parked>,
    by_cookie: Index,
    by_addresses: Index,
    capacity: usize,
    /// How many gave way.
    pub(super) evicted: u64,
    /// How many came without a cookie and were not known.
    unnamed: u64,
}

impl Orphans {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            parked: Aged::default(),
            by_cookie: Index::default(),
            by_addresses: Index::default(),
            capacity,
            evicted: 0,
            unnamed: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn insert(&mut self, orphan: Parked) {
        if let Some(place) = self.place(orphan.cookie()) {
            self.remove_at(place);
        }
        if self.parked.len() >= self.capacity
            && let Some(oldest) = self.parked.oldest()
        {
            self.remove_at(oldest);
            self.evicted += 1;
        }
        let place = self.parked.push(orphan);
        let parked = &self.parked;
        self.by_cookie.insert(place, |place| parked[place].cookie());
        // Of several with the same addresses the newest counts.
        self.by_addresses.replace(place, |place| addresses(parked[place].tuple()));
    }

    /// By what a remainder is known: its cookie; where it has none, that of the orphan with its addresses, or else a
    /// number that no socket has.
    pub(super) fn name(&mut self, cookie: Cookie, tuple: Tuple) -> Cookie {
        if cookie != Cookie(0) {
            return cookie;
        }
        self.at(tuple).map_or_else(
            || {
                self.unnamed += 1;
                Cookie(u64::MAX - self.unnamed)
            },
            |place| self.parked[place].cookie(),
        )
    }

    pub(super) fn get(&self, cookie: Cookie) -> Option<&Parked> {
        self.place(cookie).map(|place| &self.parked[place])
    }

    pub(super) fn get_mut(&mut self, cookie: Cookie) -> Option<&mut Parked> {
        self.place(cookie).map(|place| &mut self.parked[place])
    }

    /// The orphan at the other end of a connection.
    pub(super) fn peer(&self, of: Tuple) -> Option<&Parked> {
        self.at(of.swapped()).map(|place| &self.parked[place])
    }

    pub(super) fn remove(&mut self, cookie: Cookie) {
        if let Some(place) = self.place(cookie) {
            self.remove_at(place);
        }
    }

    /// Forgets the orphan at the other end of a connection.
    pub(super) fn remove_peer(&mut self, of: Tuple) {
        if let Some(place) = self.at(of.swapped()) {
            self.remove_at(place);
        }
    }

    /// Forgets those that the kernel has forgotten as well, and that nothing can refer to.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(oldest) = self.parked.oldest() {
            let orphan = &self.parked[oldest];
            if orphan.at + orphan.stays + KEEP_CLOSED > now {
                break;
            }
            self.remove_at(oldest);
        }
    }

    fn place(&self, cookie: Cookie) -> Option<Place> {
        self.by_cookie.find(cookie, |place| self.parked[place].cookie())
    }

    fn at(&self, tuple: Tuple) -> Option<Place> {
        self.by_addresses.find(addresses(tuple), |place| addresses(self.parked[place].tuple()))
    }

    fn remove_at(&mut self, place: Place) {
        let orphan = &self.parked[place];
        self.by_cookie.remove(orphan.cookie(), place);
        self.by_addresses.remove(addresses(orphan.tuple()), place);
        self.parked.remove(place);
    }
}
