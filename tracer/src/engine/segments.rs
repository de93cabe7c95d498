//! Segments that are sent again, refused, or answer what nobody here has asked for.

use super::{Engine, quiet::owned_by};
use crate::{
    event::{Cookie, Drop, HalfOpen, Resent, Snapshot},
    pattern::{End, Loose, Moment, REFUSED_WITHIN, SentReset},
    time::Time,
};
use std::time::Duration;
use tracer_common::{
    State,
    record::{
        reset_sent::Segment,
        socket::{FOLLOWED, INCOMING, Past, Socket, Tuple},
    },
};

/// An answer to a SYN that was sent again so often, while the client repeats its SYN, is worth to be remembered.
const ANSWERS_AGAIN: u32 = 3;
/// For how long: a client of Linux gives up after 127 s (6.4 and before) or 134 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(150);

impl Engine {
    /// A segment is sent again, and that is news.
    pub(super) fn resent(&mut self, at: Time, end: &Snapshot, resent: Resent) {
        if matches!(end.state, State::SynSent | State::SynRecv | State::Close) {
            return;
        }
        let moments = [
            (end.soft_errno().is_some(), Moment::SoftError),
            (resent.lossy, Moment::Lossy),
            (resent.blackhole, Moment::Blackholed),
            (resent.stuck, Moment::Stuck),
        ];
        for (_, moment) in moments.into_iter().filter(|(holds, _)| *holds) {
            self.keep_awhile(at, end);
            if let Some(known) = self.ends.get_mut(end.cookie) {
                known.seen().resent = Some(resent);
            }
            self.open_on(end.cookie, moment, at);
        }
    }

    /// A segment that came for an open connection is thrown away.
    pub(super) fn dropped(&mut self, at: Time, end: &Snapshot, why: Drop, segment: Segment) {
        self.keep_awhile(at, end);
        let Some(known) = self.ends.get_mut(end.cookie) else { return };
        if why == Drop::Syn {
            known.seen().refused_syn = Some(at);
        } else {
            known.refuse(at, why, segment);
            let seen = known.seen();
            seen.keep_until = seen.keep_until.max(Some(at + REFUSED_WITHIN));
            self.open_on(end.cookie, Moment::ResetRefused, at);
        }
    }

    /// An end is connected that has answered something by a RST before.
    pub(super) fn connected_after_reset(&mut self, at: Time, end: &Snapshot) {
        let known = self.ends.get(end.cookie).is_some_and(|known| known.reset_connecting().is_some());
        if known {
            self.ends.update(end).seen().connected = Some(at);
            self.touch(end.cookie, at);
        }
    }

    /// A listener answers a SYN once more.
    ///
    /// What stands for the connection is found by its addresses, as the other end of the client's. A flood of SYNs
    /// whose senders do not exist leaves nothing here: they repeat none.
    pub(super) fn half_open(&mut self, at: Time, asked: &HalfOpen) {
        self.listeners.answers_again(at, asked);
        if asked.again() < ANSWERS_AGAIN || !asked.repeated() || asked.syn_queue_full() {
            return;
        }
        let known = self.ends.with_addresses(asked.tuple).into_iter().find(|end| is_of(end, asked));
        let known = known.map(|end| end.snapshot.cookie);
        let cookie = known.unwrap_or_else(|| self.calls.next_subject());
        if known.is_none() {
            self.keep_awhile(at, &self.stand_in(cookie, asked));
        }
        let Some(end) = self.ends.get_mut(cookie) else { return };
        // Counted from 0 again: the client tries once more from the same port.
        let again = end.half_open().is_some_and(|before| before.resent >= asked.resent);
        let seen = end.seen();
        if again {
            seen.told.clear();
        }
        seen.half_open = Some(Box::new(*asked));
        seen.keep_until = Some(at + CONNECT_TIMEOUT);
        // What is told of an attempt stays true.
        if end.told.is_empty() {
            self.open_on(cookie, Moment::HalfOpen, at);
        }
    }

    /// What stands for a connection that has no socket yet; until then it is its listener's.
    fn stand_in(&self, cookie: Cookie, asked: &HalfOpen) -> Snapshot {
        let mut past = Past { flags: INCOMING | asked.past.flags & FOLLOWED, ..Past::default() };
        (past.owner, past.comm, past.source) = (asked.past.owner, asked.past.comm, asked.past.source);
        (past.cgroup, past.ns_pid) = (asked.past.cgroup, asked.past.ns_pid);
        owned_by(&mut past, self.listeners.get(asked.listener).and_then(|listener| listener.owner));
        let socket = Socket { tuple: asked.tuple, state: State::SynRecv.number(), ..Socket::default() };
        Snapshot { cookie, state: State::SynRecv, socket, past }
    }

    /// A RST answers a segment for which there is no connection.
    pub(super) fn loose_reset(&mut self, loose: Loose) {
        let tuple = loose.answered.tuple;
        if self.scans && loose.of_syn_ack() && !self.asked_here(tuple) {
            let cookie = self.calls.next_subject();
            let socket = Socket { tuple, ..Socket::default() };
            let snapshot = Snapshot { cookie, state: State::Close, socket, past: Past::default() };
            let end = self.ends.update(&snapshot);
            end.since = Some(loose.at);
            let (reason, answered) = (loose.reason, Some(loose.answered));
            end.seen().reset_sent =
                Some(SentReset { at: loose.at, state: State::Close, reason, answered, by: None });
            self.open_on(cookie, Moment::Loose, loose.at);
            self.let_go(cookie, loose.at);
        }
        self.loose.insert(loose);
        self.touch_peers(tuple, loose.at);
    }

    /// Whether a socket of this host had these addresses a moment ago.
    fn asked_here(&self, tuple: Tuple) -> bool {
        self.ends.with_addresses(tuple).into_iter().any(|end| end.tuple().netns == tuple.netns)
    }

    /// What stands for something that has no socket is of no use once it was judged.
    pub(super) fn let_go(&mut self, cookie: Cookie, at: Time) {
        if self.cases.any(cookie) {
            self.ends.leave(cookie, at);
        } else {
            self.ends.remove(cookie);
        }
    }
}

/// Whether an end stands for this half-open connection.
fn is_of(end: &End, asked: &HalfOpen) -> bool {
    end.stands_in() && end.tuple().netns == asked.tuple.netns
}
