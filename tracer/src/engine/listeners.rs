//! The listening sockets of the host.

use crate::{
    event::{Cookie, HalfOpen, Listens, Owner, QueueLook, Snapshot},
    pattern::Listener,
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map::Entry};
use std::{collections::VecDeque, time::Duration};
use tracer_common::record::socket::Tuple;

/// More listeners than any host is known to have.
const CAPACITY: usize = 65_536;
/// For how long a look says whose a listener is.
const CONFIRMED: Duration = Duration::from_secs(10);
/// Closed listeners that are remembered.
const CLOSED: usize = 256;
/// Connections of one closed listener that are remembered: the longest queue of a host that has not raised
/// `somaxconn`.
const MOST_DROPPED: usize = 4_096;

/// For how long a full queue of half-open connections counts: answers are sent again after 1, 2, 4 … s.
const SYN_QUEUE_RECENT: Duration = Duration::from_secs(10);

/// Listeners by cookie.
#[derive(Default)]
pub(super) struct Listeners {
    by_cookie: HashMap<Cookie, Listener, RandomState>,
    /// Cookies by namespace and port.
    by_port: HashMap<(u32, u16), Vec<Cookie>, RandomState>,
    /// Listeners that were closed, the last one last.
    closed: VecDeque<Listener>,
    /// What the look that runs has found: for each listener whether its owner holds it, else who does, the first of
    /// several, which as a rule is the one that made the others.
    held: HashMap<Cookie, Held, RandomState>,
}

/// Who holds a listener.
enum Held {
    ByOwner(Owner),
    ByAnother(Owner),
}

impl Listeners {
    pub(super) fn len(&self) -> usize {
        self.by_cookie.len()
    }

    /// The listeners of the namespaces that are wanted, those of a namespace side by side.
    pub(super) fn of_namespaces(&self, wanted: impl Fn(u32) -> bool) -> Vec<Listens> {
        let listens = |listener: &Listener| Listens {
            cookie: listener.cookie,
            tuple: listener.tuple,
            from_the_start: listener.from_the_start,
        };
        let of_wanted = self.by_cookie.values().filter(|listener| wanted(listener.tuple.netns));
        let mut all: Vec<Listens> = of_wanted.map(listens).collect();
        all.sort_unstable_by_key(|one| (one.tuple.netns, one.cookie.0));
        all
    }

    /// A process has called listen().
    pub(super) fn begin(&mut self, snapshot: &Snapshot) {
        self.update(snapshot, None);
        if let Some(listener) = self.by_cookie.get_mut(&snapshot.cookie) {
            listener.from_the_start = true;
        }
    }

    /// Takes a listener as it is now.
    pub(super) fn update(&mut self, snapshot: &Snapshot, holder: Option<Owner>) {
        let cookie = snapshot.cookie;
        if self.by_cookie.len() >= CAPACITY && !self.by_cookie.contains_key(&cookie) {
            return;
        }
        let tuple = snapshot.tuple();
        let listener = self.by_cookie.entry(cookie).or_insert_with(|| {
            self.by_port.entry((tuple.netns, tuple.local_port)).or_default().push(cookie);
            Listener {
                cookie,
                tuple,
                owner: None,
                confirmed: None,
                in_cgroup: snapshot.in_cgroup(),
                limit: 0,
                mptcp: snapshot.mptcp(),
                from_the_start: false,
                half_open: None,
                full: None,
                closed: None,
            }
        });
        listener.limit = snapshot.socket.max_ack_backlog;
        // Who called listen() is known by the socket's past for ever, who was found by a look only here.
        if listener.confirmed.is_none() {
            listener.owner = snapshot.owner().or(listener.owner).or(holder);
        }
        if let Some(holder) = holder {
            let owns = listener.owner.is_none_or(|owner| owner.pid == holder.pid);
            let held = if owns { Held::ByOwner(holder) } else { Held::ByAnother(holder) };
            match self.held.entry(cookie) {
                Entry::Vacant(entry) => {
                    entry.insert(held);
                }
                Entry::Occupied(mut entry) if owns => {
                    entry.insert(held);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// A look is over that began then: an owner that holds its listener no more has left it to another one, as a
    /// program does that starts a server with an open listener.
    pub(super) fn looked(&mut self, began: Time) {
        for (cookie, held) in self.held.drain() {
            if let Some(listener) = self.by_cookie.get_mut(&cookie) {
                let before = listener.owner.filter(|_| matches!(held, Held::ByOwner(_)));
                let (Held::ByOwner(holder) | Held::ByAnother(holder)) = held;
                // A program that was executed since has another name.
                let source = before.map_or(holder.source, |owner| owner.source);
                listener.owner = Some(Owner { source, fd: before.and_then(|owner| owner.fd), ..holder });
                listener.confirmed = Some(began);
            }
        }
    }

    /// What the programs call a listener that a look has found by its cookie. Where they know no cookies, it is the only
    /// one at its address.
    pub(super) fn known_as(&self, cookie: Cookie, tuple: Tuple) -> Cookie {
        if self.by_cookie.contains_key(&cookie) {
            return cookie;
        }
        let numbered = |other: &&Cookie| other.of_kernel().is_none();
        let here = |other: &&Cookie| self.get(**other).is_some_and(|known| known.tuple.local == tuple.local);
        let at_port = self.by_port.get(&(tuple.netns, tuple.local_port));
        let mut same = at_port.into_iter().flatten().filter(numbered).filter(here);
        match (same.next(), same.next()) {
            (Some(only), None) => *only,
            _ => cookie,
        }
    }

    /// Whether a look should say first whose a listener is.
    pub(super) fn in_doubt(&self, cookie: Cookie, now: Time) -> bool {
        let confirmed = |listener: &Listener| listener.confirmed.is_some_and(|at| now.since(at) < CONFIRMED);
        self.by_cookie.get(&cookie).is_some_and(|listener| !listener.mptcp && !confirmed(listener))
    }

    /// Takes a look at a queue; whether it is news: it is full, which is told once, or has dropped.
    pub(super) fn look(&mut self, cookie: Cookie, at: Time, look: QueueLook) -> bool {
        let Some(listener) = self.by_cookie.get_mut(&cookie) else { return false };
        listener.limit = look.limit;
        let since = listener.full.filter(|_| look.full());
        listener.full = look.full().then(|| since.unwrap_or((at, false)));
        // A cookie is no drop: that one was sent for this listener, its full queue tells.
        let syns = look.drops > 0 || (look.syn_cookies > 0 && syn_queue_full(listener, at));
        let quiet = since.is_some_and(|(_, told)| told) && !syns;
        // That it is full is told once.
        if let Some((_, told)) = &mut listener.full {
            *told |= since.is_some();
        }
        (look.full() || syns) && !quiet
    }

    /// What a look says of this listener: what its namespace counts is another's when that one's queue of half-open
    /// connections was full a moment ago, and this one's was not.
    pub(super) fn own(&self, cookie: Cookie, netns: u32, at: Time, look: QueueLook) -> QueueLook {
        let counted = look.syn_drops > 0 || look.syn_cookies > 0;
        let full = |listener: &Listener| listener.tuple.netns == netns && syn_queue_full(listener, at);
        if counted && self.syn_queue_full(cookie, at).is_none() && self.by_cookie.values().any(full) {
            return QueueLook { syn_drops: 0, syn_cookies: 0, ..look };
        }
        look
    }

    /// The last SYN that a listener has answered once more, if its queue of half-open connections was full then.
    pub(super) fn syn_queue_full(&self, cookie: Cookie, at: Time) -> Option<HalfOpen> {
        let listener = self.by_cookie.get(&cookie).filter(|listener| syn_queue_full(listener, at))?;
        listener.half_open.map(|(_, asked)| asked)
    }

    /// A listener answers a SYN once more.
    pub(super) fn answers_again(&mut self, at: Time, asked: &HalfOpen) {
        if let Some(listener) = self.by_cookie.get_mut(&asked.listener) {
            listener.half_open = Some((at, *asked));
        }
    }

    /// The namespaces in which a queue of half-open connections was full a moment ago, each once.
    pub(super) fn syn_floods(&self, at: Time) -> Vec<u32> {
        let full = self.by_cookie.values().filter(|listener| syn_queue_full(listener, at));
        let mut all: Vec<u32> = full.map(|listener| listener.tuple.netns).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The listener with this cookie.
    pub(super) fn get(&self, cookie: Cookie) -> Option<&Listener> {
        self.by_cookie.get(&cookie)
    }

    /// A listener is closed, by the last that held it; it is remembered for the connections that still waited.
    pub(super) fn close(&mut self, last: &Snapshot, at: Time) {
        if let Some(mut listener) = self.by_cookie.remove(&last.cookie) {
            let cookie = last.cookie;
            listener.owner = last.owner().filter(|_| last.owned()).or(listener.owner);
            let key = (listener.tuple.netns, listener.tuple.local_port);
            if let Some(cookies) = self.by_port.get_mut(&key) {
                cookies.retain(|other| *other != cookie);
                if cookies.is_empty() {
                    self.by_port.remove(&key);
                }
            }
            if self.closed.len() >= CLOSED {
                self.closed.pop_front();
            }
            listener.closed = Some((at, Vec::new()));
            self.closed.push_back(listener);
        }
    }

    /// A connection is reset because its listener was closed.
    pub(super) fn dropped(&mut self, connection: Tuple, cookie: Cookie) {
        if let Some((_, dropped)) = self.closed_mut(connection).and_then(|listener| listener.closed.as_mut())
            && dropped.len() < MOST_DROPPED
        {
            dropped.push(cookie);
        }
    }

    /// The listener that took a connection and was closed since, the last one of several.
    pub(super) fn closed(&self, connection: Tuple) -> Option<&Listener> {
        self.closed.iter().rev().find(|listener| took(listener.tuple, connection))
    }

    fn closed_mut(&mut self, connection: Tuple) -> Option<&mut Listener> {
        self.closed.iter_mut().rev().find(|listener| took(listener.tuple, connection))
    }

    /// The listener at exactly this end, in its namespace or in another one of the host.
    pub(super) fn at(&self, end: Tuple) -> Option<&Listener> {
        let all =
            self.by_port.iter().filter(|((_, port), _)| *port == end.local_port).flat_map(|(_, all)| all);
        let mut exact = all
            .filter_map(|cookie| self.by_cookie.get(cookie))
            .filter(|listener| listener.tuple.local == end.local);
        exact.next().or_else(|| {
            // On the same host a listener on all addresses is at this one only if the address is the host's own.
            let here = end.local == end.remote || end.local_address().ip().to_canonical().is_loopback();
            self.of(end).filter(|_| here)
        })
    }

    /// The listener that took a connection, unless listeners of several owners may have.
    pub(super) fn of(&self, connection: Tuple) -> Option<&Listener> {
        let cookies = self.by_port.get(&(connection.netns, connection.local_port))?;
        let all = || cookies.iter().filter_map(|cookie| self.by_cookie.get(cookie));
        // The kernel prefers a listener on the very address to one on all.
        let exact = || all().filter(|listener| listener.tuple.local == connection.local);
        let (first, same_owner) = if let Some(first) = exact().next() {
            (first, exact().all(|other| owner(other) == owner(first)))
        } else {
            let first = all().find(|listener| wildcard(listener.tuple.local))?;
            let wild = all().filter(|listener| wildcard(listener.tuple.local));
            (first, wild.into_iter().all(|other| owner(other) == owner(first)))
        };
        same_owner.then_some(first)
    }
}

fn took(listener: Tuple, connection: Tuple) -> bool {
    (listener.netns, listener.local_port) == (connection.netns, connection.local_port)
        && (listener.local == connection.local || wildcard(listener.local))
}

/// Whether its queue of half-open connections was full a moment ago.
fn syn_queue_full(listener: &Listener, at: Time) -> bool {
    let recent = listener.half_open.filter(|(when, _)| at.since(*when) < SYN_QUEUE_RECENT);
    recent.is_some_and(|(_, asked)| asked.syn_queue_full())
}

fn owner(listener: &Listener) -> Option<u32> {
    listener.owner.map(|owner| owner.pid)
}

/// `0.0.0.0` or `::`.
fn wildcard(address: [u64; 2]) -> bool {
    address == [0, 0] || address == tracer_common::record::socket::words([0, 0, 0, 0].into())
}

#[cfg(test)]
mod tests {
    use super::{CONFIRMED, Listeners};
    use crate::{
        event::{Cookie, Owner, Place, Snapshot, Source},
        name::Comm,
        time::Time,
    };
    use tracer_common::{
        State,
        record::socket::{OWNER_LISTEN, Past, Socket},
    };

    const COOKIE: Cookie = Cookie(7);

    /// A listener that process 10 called listen() on.
    fn listener() -> Snapshot {
        let past =
            Past { owner: 10, comm: Comm::from("launcher").0, source: OWNER_LISTEN, ..Past::default() };
        let socket = Socket { cookie: COOKIE.0, state: State::Listen.number(), ..Socket::default() };
        Snapshot { cookie: COOKIE, state: State::Listen, socket, past }
    }

    fn holder(pid: u32, comm: &str) -> Owner {
        Owner { pid, comm: Comm::from(comm), source: Source::Scan, fd: Some(3), place: Place::default() }
    }

    /// Its owner after a look that finds these.
    fn after(holders: &[(u32, &str)]) -> (u32, String, Source) {
        let mut listeners = Listeners::default();
        listeners.update(&listener(), None);
        assert!(listeners.in_doubt(COOKIE, Time(1)));
        for (pid, comm) in holders {
            listeners.update(&listener(), Some(holder(*pid, comm)));
        }
        listeners.looked(Time(1));
        assert_eq!(listeners.in_doubt(COOKIE, Time(2)), holders.is_empty());
        assert!(listeners.in_doubt(COOKIE, Time(1) + CONFIRMED));
        // What the kernel noted at listen() is older.
        listeners.update(&listener(), None);
        let owner = listeners.get(COOKIE).and_then(|listener| listener.owner).expect("an owner");
        (owner.pid, owner.comm.to_string(), owner.source)
    }

    #[test]
    fn whose_a_listener_is_a_look_says() {
        assert_eq!(after(&[]), (10, "launcher".to_owned(), Source::Listen));
        assert_eq!(after(&[(10, "server")]), (10, "server".to_owned(), Source::Listen), "executed since");
        assert_eq!(after(&[(20, "server")]), (20, "server".to_owned(), Source::Scan), "passed on");
        let several = [(20, "server"), (21, "worker")];
        assert_eq!(after(&several), (20, "server".to_owned(), Source::Scan), "the first of several");
        let workers = [(9, "helper"), (10, "master"), (21, "worker")];
        assert_eq!(after(&workers), (10, "master".to_owned(), Source::Listen), "still held");
    }

    #[test]
    fn who_closes_a_listener_was_the_last_to_hold_it() {
        let mut listeners = Listeners::default();
        listeners.update(&listener(), None);
        let mut last = listener();
        (last.past.owner, last.socket.flags) = (20, tracer_common::record::socket::OWNED);
        last.past.source = tracer_common::record::socket::OWNER_CLOSE;
        listeners.close(&last, Time(5));
        let closed = listeners.closed(last.tuple()).and_then(|listener| listener.owner);
        assert_eq!(closed.map(|owner| owner.pid), Some(20));
    }
}
