//! What each event changes, and which incidents it begins.

use super::{
    Engine, KEEP_CLOSED,
    case::{Case, CaseId, CaseKind},
    parking::unseen_orphan,
    stays::Due,
};
use crate::{
    errno::Errno,
    event::{Cookie, Event, Origin, Owner, Place, Presence, Snapshot, Source, Task, What},
    pattern::{End, Loose, Moment, Occasion, Parked, SentReset},
    time::Time,
};
use smallvec::SmallVec;
use tracer_common::{
    State,
    record::{reset_sent::Segment, socket::Tuple},
};

impl Engine {
    pub(super) fn take(&mut self, event: &mut Event) {
        if let What::StateChange { end, new, .. } = &mut event.what {
            // The hook runs before the kernel stores the new state.
            end.state = *new;
        }
        let event = &*event;
        match &event.what {
            What::StateChange { end, old, new } if !end.mptcp() || listens(*old, *new) => {
                self.state_change(event.at, end, *old, *new);
            }
            What::ResetReceived { end } if !end.mptcp() => {
                self.ends.update(end).seen().reset_received = Some((event.at, *end));
                self.touch(end.cookie, event.at);
            }
            What::ResetSent { origin, segment, reason } => self.reset_sent(event, origin, *segment, *reason),
            What::SendFailed { end, errno } => self.call_failed(event, end, "send", *errno),
            What::ReceiveFailed { end, errno } => self.call_failed(event, end, "recv", *errno),
            What::EofRead { end } if !end.mptcp() => {
                self.keep_awhile(event.at, end);
                self.open_on(end.cookie, Moment::EofRead, event.at);
            }
            What::Retransmit { end, resent, .. } if !end.mptcp() => self.resent(event.at, end, *resent),
            What::Dropped { end, why, segment } if !end.mptcp() => {
                self.dropped(event.at, end, *why, *segment);
            }
            What::Rejected { segment } => {
                self.rejected.insert(Loose { at: event.at, reason: None, answered: *segment });
            }
            What::HalfOpen(asked) => self.half_open(event.at, asked),
            What::Called(called) => self.called(event, called),
            What::Queue { cookie, tuple, look } => self.queue(event.at, *cookie, *tuple, *look),
            What::BrokenPipe { delivery } => self.signals.sent(event.task.tid, event.at, *delivery),
            What::Exit { death } => self.process_died(event, *death),
            What::Sample { end } if end.state == State::Listen => self.listeners.update(end, None),
            What::Sample { end } => self.sample(event.at, end),
            What::Holder { end, fd, place } => self.holder(event, end, *fd, *place),
            What::Answer { asked, found, began } => self.answer(event.at, *asked, *found, *began),
            What::Loss { counter, cell } if counter.is_loss() => self.losses.note(*counter, cell),
            What::Clock { hz, .. } => self.host.hz = *hz,
            // Subflows of MPTCP are paths, not connections; the rest changes nothing here.
            _ => {}
        }
    }

    fn state_change(&mut self, at: Time, end: &Snapshot, old: State, new: State) {
        let cookie = end.cookie;
        match (old, new) {
            (State::Listen, State::SynRecv) => {} // a child is born: nothing has happened to it
            (_, State::Listen) => self.listeners.begin(end),
            (State::Listen, _) => self.listeners.close(end, at),
            (_, State::Close) if end.errno().is_some() => self.failed(at, end, old),
            // With TCP_LINGER2 below 0 nothing is left to be parked.
            (State::FinWait2, State::Close)
                if end.dead() && !end.fin_received() && end.socket.linger2 >= 0 =>
            {
                self.park(at, end);
            }
            (State::Established | State::CloseWait, State::Close) => {
                self.left(at, end, old);
                self.remember_closed(at, end);
                if let Some(known) = self.ends.get_mut(cookie) {
                    known.seen().aborted = Some(at);
                }
            }
            (_, State::CloseWait) => {
                self.ends.update(end).since = Some(at);
                self.stays.enter(State::CloseWait, cookie, at);
            }
            (State::SynSent, State::Established) => {
                self.connected_after_reset(at, end);
                self.connected(at, end);
            }
            (State::SynSent, State::Close) if end.owned() => {
                self.remember_closed(at, end);
                self.open_on(cookie, Moment::Abandoned, at);
            }
            (_, State::FinWait1 | State::LastAck) if end.owned() && end.death().is_some() => {
                self.left(at, end, old);
                self.remember_closed(at, end);
                self.open_on(cookie, Moment::Died, at);
            }
            (_, State::FinWait1 | State::LastAck) if end.owned() && end.lingers() => {
                self.left(at, end, old);
                self.keep_awhile(at, end);
                self.open_on(cookie, Moment::Lingers, at);
            }
            (_, State::Closing) => {
                self.remember_closed(at, end);
                self.open_on(cookie, Moment::Closing, at);
            }
            _ => self.left(at, end, old),
        }
    }

    /// An end to which something happened that does not end it; what happens next may refer to it.
    pub(super) fn keep_awhile(&mut self, at: Time, end: &Snapshot) {
        let known = self.ends.update(end);
        known.since.get_or_insert(at);
        let seen = known.seen();
        seen.keep_until = seen.keep_until.max(Some(at + KEEP_CLOSED));
        self.ends.leave(end.cookie, at);
    }

    /// An end that is let go of now; what happens next may refer to it.
    pub(super) fn remember_closed(&mut self, at: Time, end: &Snapshot) {
        self.ends.update(end).since = Some(at);
        self.ends.leave(end.cookie, at);
    }

    /// A connection is gone with an error.
    fn failed(&mut self, at: Time, end: &Snapshot, old: State) {
        let Some(errno) = end.errno() else { return };
        let cookie = end.cookie;
        let entry = self.ends.update(end);
        entry.begin_anew(Time(end.past.born_ns));
        entry.since = Some(at);
        let seen = entry.seen();
        seen.failed = Some((at, old, errno));
        // What it refused while it connected has nothing to do with the end of the connection.
        seen.reset_sent = seen.reset_sent.filter(|sent| sent.state == old || sent.state != State::SynSent);
        self.ends.leave(cookie, at);
        self.open(cookie, CaseKind::On(Moment::Failed), Occasion::Failed { at, old, errno });
        self.touch_peers(end.tuple(), at);
    }

    /// An end has left the state it was kept for, in good order.
    fn left(&mut self, at: Time, end: &Snapshot, old: State) {
        let cookie = end.cookie;
        if old == State::CloseWait {
            // Its FIN or RST is on the way: the orphan at the other end waits no longer.
            self.orphans.remove_peer(end.tuple());
        }
        let open = self.cases.any(cookie) || self.any_at_peer(end.tuple());
        let wanted = |known: &End| open || known.reset_sent.is_some() || known.reset_received.is_some();
        if self.ends.remove_unless(cookie, wanted) {
            self.ends.update(end);
            self.ends.leave(cookie, at);
        }
    }

    /// Whether an incident of the other end is being judged.
    fn any_at_peer(&self, of: Tuple) -> bool {
        let open = |peer: &End| self.cases.any(peer.snapshot.cookie);
        self.cases.len() > 0 && self.ends.with_addresses(of.swapped()).into_iter().any(open)
    }

    /// A process that was refused has reached the same port elsewhere.
    fn connected(&mut self, at: Time, end: &Snapshot) {
        let (owner, port) = (end.past.owner, end.socket.tuple.remote_port);
        let refused: Vec<Cookie> = self.cases.iter().map(|(id, _)| id.subject).collect();
        for cookie in refused {
            if let Some(other) = self.ends.get_mut(cookie) {
                let same = other.snapshot.past.owner == owner && other.tuple().remote_port == port;
                if same && cookie != end.cookie && other.failed.is_some() {
                    other.seen().retried = Some(at);
                    self.touch(cookie, at);
                }
            }
        }
    }

    fn reset_sent(&mut self, event: &Event, origin: &Origin, answered: Option<Segment>, reason: Option<i32>) {
        let sent = |state, by| SentReset { at: event.at, state, reason, answered, by };
        match origin {
            Origin::Full(end) if end.mptcp() => {}
            Origin::Full(end) if end.state != State::Listen => {
                let by = end.owned().then_some(event.task);
                self.ends.update(end).seen().reset_sent = Some(sent(end.state, by));
                // It looked as if it was parked; what answers is still the whole of it.
                self.orphans.remove(end.cookie);
                if end.state == State::SynSent {
                    self.keep_awhile(event.at, end);
                } else if end.state == State::Close || end.dead() {
                    self.ends.leave(end.cookie, event.at);
                }
                if end.queued() && !end.owned() && answered.is_none() {
                    self.listeners.dropped(end.tuple(), end.cookie);
                }
                self.open_on(end.cookie, Moment::ResetSent, event.at);
                self.touch(end.cookie, event.at);
                self.touch_peers(end.tuple(), event.at);
            }
            Origin::Remainder { cookie, tuple, substate: Some(State::FinWait2) } => {
                let cookie = self.orphans.name(*cookie, *tuple);
                if self.orphans.get(cookie).is_none() {
                    self.orphans.insert(unseen_orphan(cookie, *tuple, event));
                }
                if let Some(orphan) = self.orphans.get_mut(cookie) {
                    orphan.answer(sent(State::FinWait2, None));
                }
                self.open_on(cookie, Moment::ResetSent, event.at);
                self.touch_peers(*tuple, event.at);
            }
            Origin::Full(_) | Origin::Remainder { .. } | Origin::Nothing => {
                if let Some(answered) = answered {
                    self.loose_reset(Loose { at: event.at, reason, answered });
                }
            }
        }
    }

    fn call_failed(&mut self, event: &Event, end: &Snapshot, call: &'static str, errno: Option<Errno>) {
        let Some(errno) = errno else { return };
        if errno == Errno::EPIPE && call == "send" && !end.mptcp() {
            self.broken_pipe(event, end);
        }
        if self.ends.get(end.cookie).is_none() {
            self.recover(event.at, end, call, errno);
        }
        let Some(known) = self.ends.get_mut(end.cookie) else { return };
        // The call's own process is the owner, whoever was before.
        known.snapshot.past = end.past;
        known.observe(event.at, call, errno);
        self.touch(end.cookie, event.at);
    }

    /// A socket older than the tracer waits, since when nobody knows; or one was found waiting by a look.
    fn sample(&mut self, at: Time, end: &Snapshot) {
        if end.state == State::CloseWait && self.ends.get(end.cookie).is_none() {
            self.ends.update(end).since = Some(at);
            self.stays.enter(State::CloseWait, end.cookie, at);
        }
        self.looked_at(at, end);
    }

    fn holder(&mut self, event: &Event, end: &Snapshot, fd: u32, place: Place) {
        let Task { pid, comm, .. } = event.task;
        let holder = Owner { pid, comm, source: Source::Scan, fd: Some(fd), place };
        if end.state == State::Listen {
            self.listeners.update(end, Some(holder));
            return;
        }
        self.looked_at(event.at, end);
        let Some(known) = self.ends.get_mut(end.cookie) else { return };
        // Among several holders the one that acted on the socket last names the descriptor.
        if known.holder.is_none() || known.snapshot.past.owner == pid {
            known.seen().holder = Some(holder);
        }
        let failed = known.snapshot.state == State::Close || known.failed.is_some();
        if !failed {
            self.ends.update(end);
        }
        let state = end.state;
        for id in self.cases.of(end.cookie) {
            if let Some(case) = self.cases.get_mut(id).filter(|case| case.looking.is_some() && !case.at_peer)
            {
                case.looked = Some(Presence::In(state));
            }
        }
    }

    fn answer(&mut self, at: Time, asked: Option<Cookie>, found: Presence, began: Time) {
        if asked.is_none() {
            self.listeners.looked(began);
        }
        let ids = match asked {
            Some(cookie) => self.cases.of(cookie).to_vec(),
            None => self.cases.looking(),
        };
        for id in ids {
            let Some(case) = self.cases.get_mut(id) else { continue };
            let exact = case.exact;
            let since = case.looking.filter(|_| exact == asked.is_some());
            if since.is_none_or(|since| since > began) {
                continue;
            }
            case.answered(found);
            self.judge(id, at);
        }
    }

    /// Begins the incident of a moment that is none of [`Moment::Failed`].
    pub(super) fn open_on(&mut self, subject: Cookie, moment: Moment, at: Time) {
        self.open(subject, CaseKind::On(moment), Occasion::On(moment, at));
    }

    /// Begins an incident, unless the same is open.
    pub(super) fn open(&mut self, subject: Cookie, kind: CaseKind, occasion: Occasion) {
        let id = CaseId { subject, kind };
        if self.cases.contains(id) {
            return;
        }
        let case = Case::new(occasion, self.hold());
        if self.cases.full() {
            self.load.evicted_cases += 1;
            self.judge_case_last(id, case, occasion.at());
        } else {
            self.judge_case(id, case, occasion.at());
        }
    }

    /// Begins the incident of a stay that has lasted long enough.
    pub(super) fn open_timed(&mut self, due: Due, now: Time) {
        match due {
            Due::Stay { pattern, cookie, since, at } => {
                let lasts =
                    self.ends.get(cookie).is_some_and(|end| end.since == Some(since) && end.failed.is_none());
                if lasts {
                    self.open(cookie, CaseKind::Stay(pattern), Occasion::Stayed { at: at.max(now) });
                }
            }
            Due::Parked { pattern, cookie, at } => {
                if self.orphans.get(cookie).is_some_and(|orphan| orphan.at <= at) {
                    self.open(cookie, CaseKind::Parked(pattern), Occasion::Parked { at: at.max(now) });
                }
            }
        }
    }

    /// Judges the open incidents of an end again.
    pub(super) fn touch(&mut self, cookie: Cookie, now: Time) {
        for id in self.cases.of(cookie) {
            self.judge(id, now);
        }
    }

    /// Judges the open incidents of the other end again.
    pub(super) fn touch_peers(&mut self, of: Tuple, now: Time) {
        if self.cases.len() == 0 {
            return;
        }
        let ends = self.ends.with_addresses(of.swapped()).into_iter().map(|end| end.snapshot.cookie);
        let peers: SmallVec<[Cookie; 4]> = ends.chain(self.orphans.peer(of).map(Parked::cookie)).collect();
        for cookie in peers {
            self.touch(cookie, now);
        }
    }
}

/// Whether a listener begins or ends: clients without MPTCP come to one that has it as well.
fn listens(old: State, new: State) -> bool {
    new == State::Listen || (old == State::Listen && new == State::Close)
}
