//! The ends to which something happened, found by cookie, by addresses, or by sequence numbers where an address is
//! translated on the way. Bounded: the oldest give way.

use crate::{
    event::{Cookie, Snapshot},
    pattern::End,
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};
use std::{collections::VecDeque, time::Duration};
use tracer_common::{State, record::socket::Tuple};

/// The ends of a table that may share addresses: one a namespace, as a rule one in all.
type Sharing = Vec<Cookie>;

/// Cookies by what several ends may share.
struct Index<K>(HashMap<K, Sharing, RandomState>);

impl<K: Copy + Eq + std::hash::Hash> Index<K> {
    fn get(&self, key: K) -> &[Cookie] {
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Moves an end from one key to another.
    fn set(&mut self, cookie: Cookie, before: Option<K>, after: Option<K>) {
        if before == after {
            return;
        }
        if let Some((key, sharing)) = before.and_then(|key| Some((key, self.0.get_mut(&key)?))) {
            sharing.retain(|other| *other != cookie);
            if sharing.is_empty() {
                self.0.remove(&key);
            }
        }
        if let Some(key) = after {
            self.0.entry(key).or_default().push(cookie);
        }
    }
}

/// An end may have gone before the last segment of its handshake has made the other one: for as long as that is on its
/// way from namespace to namespace.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Ends by cookie, by addresses and by sequence numbers.
pub(super) struct Table {
    ends: HashMap<Cookie, End, RandomState>,
    by_addresses: Index<Tuple>,
    /// By what is sent next and what is expected next.
    by_sequence: Index<(u32, u32)>,
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

/// By which addresses another end would find this one: a listener and a socket that is not connected have none.
fn own_addresses(snapshot: &Snapshot) -> Option<Tuple> {
    let tuple = snapshot.tuple();
    (tuple.local_port != 0 && tuple.remote_port != 0).then(|| addresses(tuple))
}

/// By which sequence numbers: nothing is exchanged yet while one is 0.
fn own_sequence(snapshot: &Snapshot) -> Option<(u32, u32)> {
    let (next, expected) = (snapshot.socket.snd_nxt, snapshot.socket.rcv_nxt);
    (next != 0 && expected != 0).then_some((next, expected))
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ends: HashMap::default(),
            by_addresses: Index(HashMap::default()),
            by_sequence: Index(HashMap::default()),
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
        // A port may be chosen, data exchanged, or a connection begun anew, since the end was last seen.
        let before = self.ends.get(&cookie).map(|end| end.snapshot);
        self.index(cookie, before.as_ref(), Some(&snapshot));
        match self.ends.entry(cookie) {
            Entry::Occupied(entry) => {
                let end = entry.into_mut();
                end.snapshot = snapshot;
                end
            }
            Entry::Vacant(entry) => {
                self.arrivals.push_back(cookie);
                entry.insert(End::new(snapshot))
            }
        }
    }

    fn index(&mut self, cookie: Cookie, before: Option<&Snapshot>, after: Option<&Snapshot>) {
        self.by_addresses.set(cookie, before.and_then(own_addresses), after.and_then(own_addresses));
        self.by_sequence.set(cookie, before.and_then(own_sequence), after.and_then(own_sequence));
    }

    pub(super) fn remove(&mut self, cookie: Cookie) -> Option<End> {
        let end = self.ends.remove(&cookie)?;
        self.index(cookie, Some(&end.snapshot), None);
        self.forget_arrivals();
        Some(end)
    }

    /// The other end of a connection: swapped addresses, in the same namespace if it is there, else in the only
    /// one whose sequence numbers mirror this end's; else, behind a translation of addresses, the only end whose
    /// sequence numbers are exactly this end's, swapped.
    pub(super) fn peer(&self, of: &Snapshot) -> Option<&End> {
        let swapped = of.tuple().swapped();
        let sharing = self.by_addresses.get(addresses(swapped));
        let other = |cookie: &Cookie| self.ends.get(cookie).filter(|end| end.snapshot.cookie != of.cookie);
        // What connects anew from the same port is the other end of the incident, not the connection's.
        let own = self.ends.get(&of.cookie);
        let met = |end: &&End| reset_by(of, end) || own.is_some_and(|own| reset_by(&end.snapshot, own));
        if let Some(end) = sharing.iter().filter_map(other).find(met) {
            return Some(end);
        }
        let at_once = |end: &&End| !(over(end, of) || own.is_some_and(|own| over(own, &end.snapshot)));
        let all = sharing.iter().filter_map(other).filter(|end| mirrors(of, &end.snapshot)).filter(at_once);
        let here = |end: &&End| end.tuple().netns == swapped.netns;
        // What stands for a connection without a socket has no numbers, and mirrors everything.
        let mut others = all.clone().filter(|end| !end.stands_in());
        if let Some(nearest) = others.clone().filter(here).min_by_key(|end| births_apart(of, &end.snapshot)) {
            return Some(nearest);
        }
        let Some(first) = others.next() else {
            let stand_in = all.clone().find(here).or_else(|| all.clone().next());
            return stand_in.or_else(|| self.translated_peer(of));
        };
        others.next().is_none().then_some(first)
    }

    fn translated_peer(&self, of: &Snapshot) -> Option<&End> {
        let (next, expected) = own_sequence(of)?;
        let mut others = self.by_sequence.get((expected, next)).iter().filter(|cookie| **cookie != of.cookie);
        let first = others.next()?;
        others.next().is_none().then(|| self.ends.get(first)).flatten()
    }

    /// The ends with these addresses, whatever their namespace.
    pub(super) fn with_addresses(&self, tuple: Tuple) -> &[Cookie] {
        self.by_addresses.get(addresses(tuple))
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

/// Whether an end that connects from the port of an old connection's end has answered a segment of it by a RST.
fn reset_by(old: &Snapshot, new: &End) -> bool {
    new.reset_connecting().is_some_and(|(_, answered)| {
        old.socket.rcv_nxt != 0 && answered.ack == old.socket.rcv_nxt && old.cookie != new.snapshot.cookie
    })
}

/// Whether an end had gone before the connection of another began: its port is used again. The numbers of the two are
/// as near to each other as those of one connection: they begin with a clock. `secure_tcp_seq()`:
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/secure_seq.c>
fn over(one: &End, other: &Snapshot) -> bool {
    let gone = one.since.filter(|_| one.snapshot.state == State::Close);
    gone.zip(Time::seen(other.past.born_ns)).is_some_and(|(gone, born)| born.since(gone) > ON_ITS_WAY)
}

/// By how much two ends began at different times; the most where one is not known.
fn births_apart(one: &Snapshot, other: &Snapshot) -> u64 {
    let (one, other) = (one.past.born_ns, other.past.born_ns);
    if one == 0 || other == 0 { u64::MAX } else { one.abs_diff(other) }
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
