//! Segments that are sent again, refused, or answer what nobody here has asked for.

use super::Engine;
use crate::{
    event::{Cookie, Drop, HalfOpen, Resent, Snapshot},
    pattern::{Loose, Moment, REFUSED_WITHIN},
    time::Time,
};
use std::time::Duration;
use tracer_common::{
    State,
    record::{
        reset_sent::Segment,
        socket::{INCOMING, Past, Socket},
    },
};

/// An answer to a SYN that was sent again so often, while the client repeats its SYN, is worth to be remembered.
const ANSWERS_AGAIN: u32 = 2;
/// The longest time between two answers to one SYN, as many as are told.
const BETWEEN_ANSWERS: Duration = Duration::from_mins(1);

impl Engine {
    /// A segment is sent again, and that is news.
    pub(super) fn resent(&mut self, at: Time, end: Snapshot, resent: Resent) {
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
                known.resent = Some(resent);
            }
            self.open_on(end.cookie, moment, at);
        }
    }

    /// A segment that came for an open connection is thrown away.
    pub(super) fn dropped(&mut self, at: Time, end: Snapshot, why: Drop, segment: Segment) {
        self.keep_awhile(at, end);
        let Some(known) = self.ends.get_mut(end.cookie) else { return };
        if why == Drop::Syn {
            known.refused_syn = Some(at);
        } else {
            known.refuse(at, why, segment);
            known.keep_until = known.keep_until.max(Some(at + REFUSED_WITHIN));
            self.open_on(end.cookie, Moment::ResetRefused, at);
        }
    }

    /// An end is connected that has answered something by a RST before.
    pub(super) fn connected_after_reset(&mut self, at: Time, end: Snapshot) {
        let known = self.ends.get(end.cookie).is_some_and(|known| known.reset_connecting().is_some());
        if known {
            self.ends.update(end).connected = Some(at);
            self.touch(end.cookie, at);
        }
    }

    /// A listener answers a SYN once more.
    ///
    /// What stands for the connection is found by its addresses, as the other end of the client's. A flood of SYNs
    /// whose senders do not exist leaves nothing here: they repeat none.
    pub(super) fn half_open(&mut self, at: Time, asked: &HalfOpen) {
        self.listeners.answers_again(at, asked);
        if asked.resent < ANSWERS_AGAIN || asked.resent <= asked.timeouts || asked.half_open > asked.limit {
            return;
        }
        let same = |cookie: &&Cookie| self.ends.get(**cookie).is_some_and(|end| is_of(&end.snapshot, asked));
        let known = self.ends.with_addresses(asked.tuple).iter().find(same).copied();
        let cookie = known.unwrap_or_else(|| self.calls.next_subject());
        let socket = Socket { tuple: asked.tuple, state: State::SynRecv.number(), ..Socket::default() };
        let past = Past { flags: INCOMING, ..asked.past };
        self.keep_awhile(at, Snapshot { cookie, state: State::SynRecv, socket, past });
        if let Some(end) = self.ends.get_mut(cookie) {
            end.half_open = Some(*asked);
            end.keep_until = Some(at + BETWEEN_ANSWERS);
        }
        self.open_on(cookie, Moment::HalfOpen, at);
    }

    /// A RST answers a segment for which there is no connection.
    pub(super) fn loose_reset(&mut self, loose: Loose) {
        if loose.of_syn_ack() {
            let cookie = self.calls.next_subject();
            let socket = Socket { tuple: loose.answered.tuple, ..Socket::default() };
            let snapshot = Snapshot { cookie, state: State::Close, socket, past: Past::default() };
            self.ends.update(snapshot).since = Some(loose.at);
            self.open_on(cookie, Moment::Loose, loose.at);
            self.let_go(cookie, loose.at);
        }
        self.loose.insert(loose);
        self.touch_peers(loose.answered.tuple, loose.at);
    }

    /// What stands for something that has no socket is of no use once it was judged.
    pub(super) fn let_go(&mut self, cookie: Cookie, at: Time) {
        if self.cases.any(cookie) {
            self.closed.push_back((at, cookie));
        } else {
            self.ends.remove(cookie);
        }
    }
}

/// Whether an end stands for this half-open connection.
fn is_of(end: &Snapshot, asked: &HalfOpen) -> bool {
    end.socket.cookie == 0 && end.state == State::SynRecv && end.tuple().netns == asked.tuple.netns
}
