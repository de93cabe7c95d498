//! The ends to which something happened, found by cookie or by addresses. Bounded: the oldest give way.

use crate::{
    event::{Cookie, Snapshot},
    pattern::End,
};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};
use std::collections::VecDeque;
use tracer_common::record::socket::Tuple;

/// The ends of a table that may share addresses: one a namespace, as a rule one in all.
type Sharing = Vec<Cookie>;

/// Ends by cookie and by addresses.
pub(super) struct Table {
    ends: HashMap<Cookie, End, RandomState>,
    by_addresses: HashMap<Tuple, Sharing, RandomState>,
    /// Cookies in the order of arrival; some are gone.
    arrivals: VecDeque<Cookie>,
    capacity: usize,
    /// How many gave way.
    pub(super) evicted: u64,
}

/// The addresses and ports alone: what two namespaces of a host have in common.
pub(super) const fn addresses(tuple: Tuple) -> Tuple {
    Tuple { netns: 0, ..tuple }
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ends: HashMap::default(),
            by_addresses: HashMap::default(),
            arrivals: VecDeque::new(),
            capacity,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, cookie: Cookie) -> Option<&End> {
        self.ends.get(&cookie)
    }

    pub(super) fn get_mut(&mut self, cookie: Cookie) -> Option<&mut End> {
        self.ends.get_mut(&cookie)
    }

    /// The end with this snapshot's cookie, brought up to date or begun.
    pub(super) fn update(&mut self, snapshot: Snapshot) -> &mut End {
        let cookie = snapshot.cookie;
        if self.ends.len() >= self.capacity && !self.ends.contains_key(&cookie) {
            self.evict();
        }
        match self.ends.entry(cookie) {
            Entry::Occupied(entry) => {
                let end = entry.into_mut();
                end.snapshot = snapshot;
                end
            }
            Entry::Vacant(entry) => {
                self.by_addresses.entry(addresses(snapshot.tuple())).or_default().push(cookie);
                self.arrivals.push_back(cookie);
                entry.insert(End::new(snapshot))
            }
        }
    }

    pub(super) fn remove(&mut self, cookie: Cookie) -> Option<End> {
        let end = self.ends.remove(&cookie)?;
        let key = addresses(end.tuple());
        if let Some(sharing) = self.by_addresses.get_mut(&key) {
            sharing.retain(|other| *other != cookie);
            if sharing.is_empty() {
                self.by_addresses.remove(&key);
            }
        }
        self.forget_arrivals();
        Some(end)
    }

    /// The other end of a connection: swapped addresses, in the same namespace if it is there, else in the only
    /// one whose sequence numbers mirror this end's.
    pub(super) fn peer(&self, of: &Snapshot) -> Option<&End> {
        let swapped = of.tuple().swapped();
        let sharing = self.by_addresses.get(&addresses(swapped))?;
        let mut others = sharing
            .iter()
            .filter_map(|cookie| self.ends.get(cookie))
            .filter(|end| end.snapshot.cookie != of.cookie && mirrors(of, &end.snapshot));
        let first = others.next()?;
        if first.tuple().netns == swapped.netns {
            return Some(first);
        }
        let here = others.clone().find(|end| end.tuple().netns == swapped.netns);
        here.or_else(|| others.next().is_none().then_some(first))
    }

    /// The ends with these addresses, whatever their namespace.
    pub(super) fn with_addresses(&self, tuple: Tuple) -> &[Cookie] {
        self.by_addresses.get(&addresses(tuple)).map_or(&[], Vec::as_slice)
    }

    fn evict(&mut self) {
        while let Some(cookie) = self.arrivals.pop_front() {
            if self.remove(cookie).is_some() {
                self.evicted += 1;
                return;
            }
        }
    }

    /// Ends leave far more often in any order than the table is full: the queue sheds its dead entries at its
    /// front at once, and in its middle when they are the most of it.
    fn forget_arrivals(&mut self) {
        while self.arrivals.front().is_some_and(|cookie| !self.ends.contains_key(cookie)) {
            self.arrivals.pop_front();
        }
        if self.arrivals.len() > 64 + 2 * self.ends.len() {
            self.arrivals.retain(|cookie| self.ends.contains_key(cookie));
        }
    }
}

/// Whether two ends count the same bytes, give or take what is on the way. Ends whose numbers were not read do.
fn mirrors(one: &Snapshot, other: &Snapshot) -> bool {
    /// More than any window in flight.
    const ON_THE_WAY: u32 = 1 << 30;
    let near = |received: u32, sent: u32| {
        let distance = sent.wrapping_sub(received);
        received == 0 || sent == 0 || distance < ON_THE_WAY || distance.wrapping_neg() < ON_THE_WAY
    };
    near(one.socket.rcv_nxt, other.socket.snd_nxt) && near(other.socket.rcv_nxt, one.socket.snd_nxt)
}
