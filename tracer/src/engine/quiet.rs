//! What makes no event: sockets and queues that were looked at.

use super::{
    Engine,
    case::{CaseId, CaseKind},
};
use crate::{
    event::{Cookie, Owner, QueueLook, Snapshot},
    pattern::Moment,
    time::Time,
};
use std::time::Duration;
use tracer_common::{
    State,
    record::socket::{IN_CGROUP, KEEPALIVE, OWNER_LISTEN, Past, Socket, Tuple},
};

/// Looks are further apart only where one takes a third of a second.
const BETWEEN_LOOKS: Duration = Duration::from_mins(1);

impl Engine {
    /// A look at a socket that is open.
    pub(super) fn looked_at(&mut self, at: Time, end: &Snapshot) {
        if end.mptcp() || end.dead() || !matches!(end.state, State::Established | State::CloseWait) {
            return;
        }
        if end.stalled() {
            self.stalled(at, end);
        } else if end.state == State::Established && end.socket.flags & KEEPALIVE == 0 {
            self.keep_awhile(at, end);
            self.open_on(end.cookie, Moment::Idle, at);
        }
    }

    /// The peer's window is closed, and data waits.
    fn stalled(&mut self, at: Time, end: &Snapshot) {
        let since = self.ends.get(end.cookie).and_then(|known| known.stalled);
        // Had the window opened in between, something would have been sent.
        let since = since.filter(|(_, next)| *next == end.socket.snd_nxt).map_or(at, |(since, _)| since);
        self.keep_awhile(at, end);
        if let Some(known) = self.ends.get_mut(end.cookie) {
            let seen = known.seen();
            seen.stalled = Some((since, end.socket.snd_nxt));
            seen.keep_until = Some(at + BETWEEN_LOOKS);
        }
        if self.ends.get(end.cookie).is_some_and(|known| known.stall_told == Some(end.socket.snd_nxt)) {
            return;
        }
        self.open_on(end.cookie, Moment::Stalled, at);
    }

    /// A look at a listener's queue.
    pub(super) fn queue(&mut self, at: Time, cookie: Cookie, tuple: Tuple, look: QueueLook) {
        let cookie = self.listeners.known_as(cookie, tuple);
        let look = self.listeners.own(cookie, tuple.netns, at, look);
        if !self.listeners.look(cookie, at, look) {
            return;
        }
        let mut past = Past::default();
        let listener = self.listeners.get(cookie);
        let full_since = listener.and_then(|listener| listener.full).map(|(since, _)| since);
        let half_open = self.listeners.syn_queue_full(cookie, at);
        owned_by(&mut past, listener.and_then(|listener| listener.owner));
        let socket = Socket {
            cookie: cookie.0,
            tuple,
            ack_backlog: look.depth,
            max_ack_backlog: look.limit,
            state: State::Listen.number(),
            flags: if listener.is_some_and(|listener| listener.in_cgroup) { IN_CGROUP } else { 0 },
            ..Socket::default()
        };
        self.keep_awhile(at, &Snapshot { cookie, state: State::Listen, socket, past });
        let waits = self.cases.contains(CaseId { subject: cookie, kind: CaseKind::On(Moment::QueueFull) });
        if let Some(end) = self.ends.get_mut(cookie) {
            // What an earlier look has found is still to be told.
            let earlier = end.queue.filter(|_| waits);
            let since = earlier.map_or(full_since, |(_, since)| since);
            let half_open = half_open.or(end.half_open().filter(|_| waits));
            let seen = end.seen();
            seen.queue = Some((earlier.map_or(look, |(earlier, _)| earlier.and(&look)), since));
            seen.half_open = half_open.map(Box::new);
        }
        self.open_on(cookie, Moment::QueueFull, at);
    }
}

/// Notes the owner of a listener as if the kernel had.
pub(super) fn owned_by(past: &mut Past, owner: Option<Owner>) {
    if let Some(owner) = owner {
        (past.owner, past.comm, past.source) = (owner.pid, owner.comm.0, OWNER_LISTEN);
        (past.cgroup, past.ns_pid) = (owner.place.cgroup, owner.place.ns_pid);
    }
}
