//! The ends to which something happened, found by cookie, by addresses, or by sequence numbers where an address is
//! translated on the way. Bounded: the oldest give way.

use super::{
    KEEP_CLOSED,
    aged::{Aged, Place},
    index::Index,
};
use crate::{
    event::{Cookie, Snapshot},
    pattern::End,
    time::Time,
};
use smallvec::SmallVec;
use std::{collections::VecDeque, time::Duration};
use tracer_common::{State, record::socket::Tuple};

/// The ends of a table that share addresses: one a namespace, as a rule one in all.
type Sharing<'a> = SmallVec<[&'a End; 4]>;

/// An end may have gone before the last segment of its handshake has made the other one: for as long as that is on its
/// way from namespace to namespace.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// An end, and what the table itself has to know of it.
struct Row {
    end: End,
    /// Counts up: the later it got its addresses, the higher.
    addressed: u64,
    /// Whether it is in the queue of those that will be forgotten.
    leaving: bool,
}

/// Ends by cookie, by addresses and by sequence numbers.
pub(super) struct Table {
    rows: Aged<Row>,
    by_cookie: Index,
    by_addresses: Index,
    /// By what is sent next and what is expected next.
    by_sequence: Index,
    addressed: u64,
    /// What will be forgotten, and since when nothing is expected of it; each end once, and some that are gone.
    leaving: VecDeque<(Time, Cookie)>,
    capacity: usize,
    /// How many gave way.
    pub(super) evicted: u64,
}

/// Addresses and ports alone: what two namespaces of a host have in common.
pub(super) type Addresses = (u64, u64, u64, u64, u32);

/// Those of a connection, in words that are hashed quickly.
pub(super) fn addresses(tuple: Tuple) -> Addresses {
    let ports = u32::from(tuple.local_port) << 16 | u32::from(tuple.remote_port);
    (tuple.local[0], tuple.local[1], tuple.remote[0], tuple.remote[1], ports)
}

/// Whether another end would find this one by its addresses: a listener and a socket that is not connected have none.
fn has_addresses(snapshot: &Snapshot) -> bool {
    snapshot.tuple().local_port != 0 && snapshot.tuple().remote_port != 0
}

/// What is sent next, and what is expected next.
fn sequence(snapshot: &Snapshot) -> (u32, u32) {
    (snapshot.socket.snd_nxt, snapshot.socket.rcv_nxt)
}

/// Whether another end would find this one by its sequence numbers: nothing is exchanged yet while one is 0.
fn has_sequence(snapshot: &Snapshot) -> bool {
    snapshot.socket.snd_nxt != 0 && snapshot.socket.rcv_nxt != 0
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            rows: Aged::default(),
            by_cookie: Index::default(),
            by_addresses: Index::default(),
            by_sequence: Index::default(),
            addressed: 0,
            leaving: VecDeque::new(),
            capacity,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, cookie: Cookie) -> Option<&End> {
        self.place(cookie).map(|place| &self.rows[place].end)
    }

    pub(super) fn get_mut(&mut self, cookie: Cookie) -> Option<&mut End> {
        self.place(cookie).map(|place| &mut self.rows[place].end)
    }

    fn place(&self, cookie: Cookie) -> Option<Place> {
        self.by_cookie.find(cookie, |place| self.rows[place].end.snapshot.cookie)
    }

    /// The end with this snapshot's cookie, brought up to date or begun.
    pub(super) fn update(&mut self, snapshot: &Snapshot) -> &mut End {
        let place = if let Some(place) = self.place(snapshot.cookie) {
            // A port may be chosen, data exchanged, or a connection begun anew, since the end was last seen.
            let before = &self.rows[place].end.snapshot;
            let addressed = addresses(before.tuple()) != addresses(snapshot.tuple());
            let exchanged = sequence(before) != sequence(snapshot);
            self.unindex(place, addressed, exchanged);
            self.rows[place].end.snapshot = *snapshot;
            self.index(place, addressed, exchanged);
            place
        } else {
            if self.rows.len() >= self.capacity {
                self.evict();
            }
            let place = self.rows.push(Row { end: End::new(*snapshot), addressed: 0, leaving: false });
            let rows = &self.rows;
            self.by_cookie.insert(place, |place| rows[place].end.snapshot.cookie);
            self.index(place, true, true);
            place
        };
        &mut self.rows[place].end
    }

    /// Lets an end be found by its addresses, and by its sequence numbers.
    fn index(&mut self, place: Place, addressed: bool, exchanged: bool) {
        let snapshot = &self.rows[place].end.snapshot;
        let (addressed, exchanged) =
            (addressed && has_addresses(snapshot), exchanged && has_sequence(snapshot));
        if addressed {
            self.addressed += 1;
            self.rows[place].addressed = self.addressed;
            let rows = &self.rows;
            self.by_addresses.insert(place, |place| addresses(rows[place].end.tuple()));
        }
        if exchanged {
            let rows = &self.rows;
            self.by_sequence.insert(place, |place| sequence(&rows[place].end.snapshot));
        }
    }

    /// Lets an end not be found any more by its addresses, and by its sequence numbers.
    fn unindex(&mut self, place: Place, addressed: bool, exchanged: bool) {
        let snapshot = &self.rows[place].end.snapshot;
        if addressed && has_addresses(snapshot) {
            self.by_addresses.remove(addresses(snapshot.tuple()), place);
        }
        if exchanged && has_sequence(snapshot) {
            self.by_sequence.remove(sequence(snapshot), place);
        }
    }

    pub(super) fn remove(&mut self, cookie: Cookie) {
        if let Some(place) = self.place(cookie) {
            self.remove_at(place);
        }
    }

    /// Removes an end unless it is `wanted`; whether it is still there.
    pub(super) fn remove_unless(&mut self, cookie: Cookie, wanted: impl Fn(&End) -> bool) -> bool {
        let Some(place) = self.place(cookie) else { return false };
        let stays = wanted(&self.rows[place].end);
        if !stays {
            self.remove_at(place);
        }
        stays
    }

    fn remove_at(&mut self, place: Place) {
        self.unindex(place, true, true);
        self.by_cookie.remove(self.rows[place].end.snapshot.cookie, place);
        self.rows.remove(place);
    }

    /// The other end of a connection: swapped addresses, in the same namespace if it is there, else in the only
    /// one whose sequence numbers mirror this end's; else, behind a translation of addresses, the only end whose
    /// sequence numbers are exactly this end's, swapped.
    pub(super) fn peer(&self, of: &Snapshot) -> Option<&End> {
        let swapped = of.tuple().swapped();
        let sharing = self.with_addresses(swapped);
        if sharing.is_empty() {
            return self.translated_peer(of);
        }
        let sharing = sharing.iter().copied().filter(|end| end.snapshot.cookie != of.cookie);
        // What connects anew from the same port is the other end of the incident, not the connection's.
        let own = self.get(of.cookie);
        let met = |end: &&End| reset_by(of, end) || own.is_some_and(|own| reset_by(&end.snapshot, own));
        if let Some(end) = sharing.clone().find(met) {
            return Some(end);
        }
        let at_once = |end: &&End| !(over(end, of) || own.is_some_and(|own| over(own, &end.snapshot)));
        let all = sharing.filter(|end| mirrors(of, &end.snapshot)).filter(at_once);
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
        if !has_sequence(of) {
            return None;
        }
        let (next, expected) = sequence(of);
        let all = self.by_sequence.all((expected, next), |place| sequence(&self.rows[place].end.snapshot));
        let mut others =
            all.map(|place| &self.rows[place].end).filter(|end| end.snapshot.cookie != of.cookie);
        let first = others.next()?;
        others.next().is_none().then_some(first)
    }

    /// The ends with these addresses, whatever their namespace, in the order in which they got them.
    pub(super) fn with_addresses(&self, tuple: Tuple) -> Sharing<'_> {
        let all = self.by_addresses.all(addresses(tuple), |place| addresses(self.rows[place].end.tuple()));
        let mut rows: SmallVec<[&Row; 4]> = all.map(|place| &self.rows[place]).collect();
        rows.sort_unstable_by_key(|row| row.addressed);
        rows.into_iter().map(|row| &row.end).collect()
    }

    /// An end is forgotten some time after `at`, when nothing can refer to it any more.
    pub(super) fn leave(&mut self, cookie: Cookie, at: Time) {
        let Some(place) = self.place(cookie) else { return };
        if std::mem::replace(&mut self.rows[place].leaving, true) {
            return;
        }
        self.leaving.push_back((at, cookie));
        if self.leaving.len() > 64 + 2 * self.rows.len() {
            let (by_cookie, rows) = (&self.by_cookie, &self.rows);
            let place = |cookie| by_cookie.find(cookie, |place| rows[place].end.snapshot.cookie);
            self.leaving.retain(|(_, cookie)| place(*cookie).is_some_and(|place| rows[place].leaving));
        }
    }

    /// The end that was to leave first, if it has been kept for long enough. It may be gone, or be asked to leave again.
    pub(super) fn left(&mut self, now: Time) -> Option<Cookie> {
        let (_, cookie) = self.leaving.pop_front_if(|(at, _)| *at + KEEP_CLOSED <= now)?;
        if let Some(place) = self.place(cookie) {
            self.rows[place].leaving = false;
        }
        Some(cookie)
    }

    /// When [`Self::left`] will next give something.
    pub(super) fn next_leaving(&self) -> Option<Time> {
        self.leaving.front().map(|(at, _)| *at + KEEP_CLOSED)
    }

    fn evict(&mut self) {
        if let Some(oldest) = self.rows.oldest() {
            self.remove_at(oldest);
            self.evicted += 1;
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

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::{
        event::{Cookie, Snapshot},
        time::Time,
    };
    use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};
    use tracer_common::{
        State,
        record::socket::{Past, Socket, Tuple},
    };

    fn snapshot(cookie: u64, port: u16, sent: u32) -> Snapshot {
        let tuple = Tuple { local_port: port, remote_port: 80, ..Tuple::default() };
        let socket = Socket { tuple, snd_nxt: sent, rcv_nxt: 1, ..Socket::default() };
        Snapshot { cookie: Cookie(cookie), state: State::Established, socket, past: Past::default() }
    }

    proptest! {
        #[test]
        fn an_end_is_found_by_what_it_has_now_and_by_nothing_once_it_is_gone(
            steps in vec((0..8_u64, 0..4_u16, 0..3_u32, any::<bool>()), 0..100)
        ) {
            let mut table = Table::new(5);
            for (cookie, port, sent, goes) in steps {
                if goes {
                    table.remove(Cookie(cookie));
                } else {
                    let now = snapshot(cookie, port, sent);
                    table.update(&now);
                    let found = table.with_addresses(now.tuple());
                    let last = found.iter().any(|end| end.snapshot.cookie == now.cookie);
                    prop_assert_eq!(last, port != 0);
                    prop_assert!(found.iter().all(|end| end.tuple() == now.tuple()));
                }
                prop_assert!(table.len() <= 5);
                prop_assert_eq!(table.by_cookie.len(), table.len());
                let having = |has: fn(&Snapshot) -> bool| {
                    let all = (0..8).filter_map(|cookie| table.get(Cookie(cookie)));
                    all.filter(|end| has(&end.snapshot)).count()
                };
                prop_assert_eq!(table.by_addresses.len(), having(super::has_addresses));
                prop_assert_eq!(table.by_sequence.len(), having(super::has_sequence));
            }
        }
    }

    #[test]
    fn what_is_to_be_forgotten_is_queued_once() {
        let mut table = Table::new(4);
        for number in 0..10_000 {
            // One that much happens to, among others that come and go.
            for cookie in [1, number + 2] {
                table.update(&snapshot(cookie, 7, 1));
                table.leave(Cookie(cookie), Time(number));
            }
            table.remove(Cookie(number + 2));
            assert!(table.leaving.len() <= 64 + 2 * 4 + 1, "{} of {}", table.leaving.len(), table.len());
        }
        assert_eq!(table.left(Time::NEVER), Some(Cookie(1)));
    }
}
