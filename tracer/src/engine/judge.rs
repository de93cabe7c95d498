//! Asks the rules about an incident, and decides between their answers.

use super::{
    Engine, LOOK_PATIENCE, LOOKS_A_SECOND, Request,
    case::{Case, CaseId, CaseKind},
    quiet::owned_by,
    tell::storm_key,
};
use crate::{
    event::{Presence, Source},
    pattern::{CATALOGUE, End, Found, Group, Listener, Moment, Parked, Verdict, View},
    time::Time,
};
use std::time::Duration;
use tracer_common::{State, record::socket::OWNER_SCAN};

/// A call that waits in the kernel returns this soon after what it waits for, if the host is not overloaded.
const CALL_RETURNS: Duration = Duration::from_millis(5);

/// How long a process may have to wait for a CPU before its RST is told of.
const SENDER_PATIENCE: Duration = Duration::from_secs(1);

/// What the rules said together.
struct Answers {
    found: Vec<(usize, Box<Found>)>,
    /// The patterns that cannot tell yet.
    undecided: Vec<usize>,
    next: Option<Time>,
    look: bool,
    look_at_peer: bool,
}

impl Engine {
    /// Judges an open case at `now`.
    pub(super) fn judge(&mut self, id: CaseId, now: Time) {
        if let Some(case) = self.cases.take(id) {
            self.judge_case(id, case, now);
        }
    }

    /// Judges a case that is not among the open ones; where it stays open it is put there.
    pub(super) fn judge_case(&mut self, id: CaseId, mut case: Case, now: Time) {
        if case.looking.is_some() && now < case.next {
            self.cases.put(id, case);
            return;
        }
        let last = now >= case.last;
        if last && self.sender_is_late(id, &case, now) {
            case.next = now + self.hold();
            case.last = case.next;
            self.cases.put(id, case);
            return;
        }
        self.decide(id, case, now, last);
    }

    /// Whether the other end was aborted on this host, and the record of its RST has not come.
    ///
    /// It is made by the process that aborts, after the RST has left: `tcp_send_active_reset()`. A process that has to
    /// wait for a CPU just then is late.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L3649-L3682>
    fn sender_is_late(&self, id: CaseId, case: &Case, now: Time) -> bool {
        let Some(end) = self.ends.get(id.subject).filter(|end| end.reset_received.is_some()) else {
            return false;
        };
        let peer = self.ends.peer(&end.snapshot);
        let waits = peer.is_some_and(|peer| peer.aborted.is_some() && peer.reset_sent.is_none());
        waits && now.since(case.occasion.at()) < SENDER_PATIENCE
    }

    /// Judges an open case for good.
    pub(super) fn judge_last(&mut self, id: CaseId) {
        if let Some(case) = self.cases.take(id) {
            self.judge_case_last(id, case, self.now);
        }
    }

    /// Judges a case as well as can be without waiting for anything.
    pub(super) fn judge_case_last(&mut self, id: CaseId, mut case: Case, now: Time) {
        case.owner_sought = true;
        case.peer_looked.get_or_insert(Presence::Unknown);
        if self.cases.full() || matches!(id.kind, CaseKind::Stay(_) | CaseKind::Parked(_)) {
            case.looked.get_or_insert(Presence::Unknown);
        }
        self.decide(id, case, now, true);
    }

    fn decide(&mut self, id: CaseId, mut case: Case, now: Time, last: bool) {
        if case.looking.is_some() {
            // The look was not answered in time.
            case.looking = None;
            if !case.asks_whose {
                let looked =
                    if std::mem::take(&mut case.at_peer) { &mut case.peer_looked } else { &mut case.looked };
                looked.get_or_insert(Presence::Unknown);
            }
        }
        case.asks_whose = false;
        let answers = self.ask(id, &case, now, last);
        if answers.look && case.looked.is_none() {
            self.look(id, case, now);
            return;
        }
        if answers.look_at_peer && case.peer_looked.is_none() {
            self.look_at_peer(id, case, now, last);
            return;
        }
        let settled = |found: &[(usize, Box<Found>)]| {
            let beats = |loser: usize| found.iter().any(|(winner, _)| supersedes(*winner, loser));
            answers.undecided.iter().all(|index| beats(*index))
        };
        if !last && !answers.undecided.is_empty() && !settled(&answers.found) {
            case.next = answers.next.unwrap_or(case.last).max(now + Duration::from_nanos(1));
            case.last = case.last.max(case.next);
            self.cases.put(id, case);
            return;
        }
        if answers.found.is_empty() {
            return;
        }
        let returned = case.occasion.at() + CALL_RETURNS;
        if !last && now < returned && self.may_be_observed(id) {
            case.next = returned;
            case.last = case.last.max(returned);
            self.cases.put(id, case);
            return;
        }
        if !case.owner_sought && self.owner_is_unknown(id) {
            case.owner_sought = true;
            self.look(id, case, now);
            return;
        }
        if !case.owner_sought && self.owner_may_have_left(id) {
            if let Some(end) = self.ends.get_mut(id.subject) {
                end.forget(|seen| seen.holder = None);
            }
            case.owner_sought = true;
            (case.asks_whose, case.asks_holder) = (true, true);
            self.look(id, case, now);
            return;
        }
        if case.asks_holder {
            self.name_holder(id);
        }
        if !case.owner_sought && self.listener_is_in_doubt(id, now) {
            case.owner_sought = true;
            case.asks_whose = true;
            self.look(id, case, now);
            return;
        }
        self.name_listener(id);
        self.tell(id, &case, &answers.found, now);
    }

    /// Whether a call that is in progress may return the error that ended the connection.
    fn may_be_observed(&self, id: CaseId) -> bool {
        let told = |end: &End| end.observed.is_empty() && !end.snapshot.dead() && !end.snapshot.queued();
        id.kind == CaseKind::On(Moment::Failed) && self.ends.get(id.subject).is_some_and(told)
    }

    /// Whether a look could find the owner: the socket has a descriptor somewhere, and nobody acted on it.
    fn owner_is_unknown(&self, id: CaseId) -> bool {
        matches!(id.kind, CaseKind::On(Moment::Failed) | CaseKind::Stay(_))
            && self
                .ends
                .get(id.subject)
                .is_some_and(|end| end.owner().is_none() && !end.snapshot.dead() && !end.snapshot.queued())
    }

    /// Whether the owner has connected and done nothing more, so that it may have passed the connection on since.
    fn owner_may_have_left(&self, id: CaseId) -> bool {
        let Some(end) = self.ends.get(id.subject) else { return false };
        let connected = end.failed.is_some_and(|(_, old, _)| old != State::SynSent);
        connected
            && end.observed.is_empty()
            && !end.snapshot.dead()
            && end.snapshot.silent()
            && end.owner().is_some_and(|owner| owner.source == Source::Connect)
    }

    /// An owner that a look has not found among the holders has left the connection to the one it found.
    fn name_holder(&mut self, id: CaseId) {
        let Some(end) = self.ends.get_mut(id.subject) else { return };
        if let Some(holder) = end.holder.filter(|holder| holder.pid != end.snapshot.past.owner)
            && end.observed.is_empty()
        {
            owned_by(&mut end.snapshot.past, Some(holder));
            end.snapshot.past.source = OWNER_SCAN;
        }
    }

    /// Whether a look should say whose the listener is that the finding will name.
    fn listener_is_in_doubt(&self, id: CaseId, now: Time) -> bool {
        let Some(end) = self.ends.get(id.subject) else { return false };
        let listener = if end.queue.is_some() {
            Some(id.subject)
        } else {
            let waits = end.snapshot.queued() && end.owner().is_none();
            waits.then(|| self.listeners.of(end.tuple())).flatten().map(|listener| listener.cookie)
        };
        listener.is_some_and(|listener| self.listeners.in_doubt(listener, now))
    }

    /// A listener that was looked at is its owner's as it is known now.
    fn name_listener(&mut self, id: CaseId) {
        let owner = self.listeners.get(id.subject).and_then(|listener| listener.owner);
        if let Some(end) = self.ends.get_mut(id.subject).filter(|end| end.queue.is_some()) {
            owned_by(&mut end.snapshot.past, owner);
        }
    }

    /// Asks for a look, and judges again when it is answered or patience ends.
    fn look(&mut self, id: CaseId, mut case: Case, now: Time) {
        let request = match (id.kind, self.orphans.get(id.subject)) {
            (CaseKind::Parked(_) | CaseKind::On(Moment::ResetSent), Some(orphan)) => {
                Request::Socket { cookie: orphan.cookie(), tuple: orphan.tuple() }
            }
            _ if case.asks_whose => Request::Holders,
            _ => match self.ends.get(id.subject) {
                // It has no descriptor, or soon will have none.
                Some(end) if id.kind == CaseKind::On(Moment::Lingers) => {
                    Request::Socket { cookie: end.snapshot.cookie, tuple: end.tuple() }
                }
                // Whether it still waits for accept() no descriptor tells.
                Some(end) if end.snapshot.queued() => {
                    Request::Socket { cookie: end.snapshot.cookie, tuple: end.tuple() }
                }
                _ => Request::Holders,
            },
        };
        if request != Request::Holders && !self.may_look(now) {
            self.load.looks_skipped += 1;
            return;
        }
        if !self.requests.contains(&request) {
            self.requests.push(request);
        }
        case.looking = Some(now);
        case.exact = request != Request::Holders;
        case.next = now + LOOK_PATIENCE;
        case.last = case.last.max(case.next);
        self.cases.put(id, case);
    }

    /// Asks whether the other end is open on this host; nothing has happened to it that would have told.
    fn look_at_peer(&mut self, id: CaseId, mut case: Case, now: Time, last: bool) {
        let Some(tuple) = self.ends.get(id.subject).map(End::tuple).filter(|_| self.may_look(now)) else {
            self.load.looks_skipped += 1;
            case.peer_looked = Some(Presence::Unknown);
            self.decide(id, case, now, last);
            return;
        };
        self.requests.push(Request::Peer { cookie: id.subject, tuple: tuple.swapped() });
        (case.looking, case.exact, case.at_peer) = (Some(now), true, true);
        // Nothing else waits longer for it.
        case.next = now + LOOK_PATIENCE;
        self.cases.put(id, case);
    }

    fn may_look(&mut self, now: Time) -> bool {
        let (second, asked) = &mut self.looks;
        if now.since(*second) >= Duration::from_secs(1) {
            (*second, *asked) = (now, 0);
        }
        *asked += 1;
        *asked <= LOOKS_A_SECOND
    }

    fn ask(&self, id: CaseId, case: &Case, now: Time, last: bool) -> Answers {
        let mut answers = Answers {
            found: Vec::new(),
            undecided: Vec::new(),
            next: None,
            look: false,
            look_at_peer: false,
        };
        let view = self.view(id, case, now, last);
        for &index in self.asked.of(id.kind) {
            match (CATALOGUE[index].judge)(&view) {
                Verdict::No => {}
                Verdict::Found(found) => answers.found.push((index, found)),
                Verdict::Wait => answers.undecided.push(index),
                Verdict::WaitUntil(time) => {
                    answers.undecided.push(index);
                    answers.next = Some(answers.next.map_or(time, |next| next.min(time)));
                }
                Verdict::Look => {
                    answers.undecided.push(index);
                    answers.look = true;
                }
                Verdict::LookAtPeer => {
                    answers.undecided.push(index);
                    answers.look_at_peer = true;
                }
            }
        }
        answers
    }

    pub(super) fn view<'a>(&'a self, id: CaseId, case: &'a Case, now: Time, last: bool) -> View<'a> {
        let parked = self.orphans.get(id.subject);
        // What befalls a remainder is told of the remainder, also while what it was is remembered.
        let of_remainder =
            parked.is_some() && matches!(id.kind, CaseKind::On(Moment::ResetSent) | CaseKind::Parked(_));
        let end = self.ends.get(id.subject).filter(|_| !of_remainder);
        let tuple = end.map(End::tuple).or(parked.map(Parked::tuple));
        let snapshot = end.map(|end| &end.snapshot).or(parked.map(|orphan| &orphan.last));
        // A call and a queue are one process' own matter; what nobody has asked for is nobody's.
        let shared = !matches!(id.kind, CaseKind::On(Moment::Called | Moment::QueueFull | Moment::Loose));
        let peer_parked = tuple.filter(|_| shared).and_then(|tuple| self.orphans.peer(tuple));
        let peer = snapshot.filter(|_| shared && peer_parked.is_none());
        View {
            now,
            occasion: &case.occasion,
            end,
            parked,
            peer: peer.and_then(|snapshot| self.ends.peer(snapshot)),
            peer_parked,
            loose: tuple.and_then(|tuple| self.loose.get(tuple)),
            rejected: tuple.and_then(|tuple| self.rejected.get(tuple)),
            listener: end.and_then(|end| self.listener(end)),
            alike: 1 + end.map_or(0, |end| self.stay_as_long(id.kind, end)),
            service: end.and_then(|end| self.service(end)),
            looked: case.looked,
            peer_looked: case.peer_looked,
            lost: !super::compose::losses(case.occasion.at(), now, &self.losses).is_empty(),
            host: &self.host,
            last,
        }
    }

    /// How many others of its owner and service were told of because they have stayed as long in the same state.
    fn stay_as_long(&self, kind: CaseKind, end: &End) -> usize {
        let CaseKind::Stay(index) = kind else { return 0 };
        let key = storm_key(index, end.owner(), end.tuple(), &end.snapshot.past, Group::Service);
        self.storms.total(&key)
    }

    /// The listener an end waits at, or the one that its attempt to connect came too late for.
    fn listener(&self, end: &End) -> Option<&Listener> {
        if end.failed.is_some_and(|(_, old, _)| old == State::SynSent) {
            let refusal = self.loose.get(end.tuple())?;
            return self.listeners.closed(refusal.answered.tuple);
        }
        if !end.snapshot.queued() {
            return None;
        }
        let open = self.listeners.of(end.tuple());
        // A connection that its listener reset cannot be another's, whoever listens there now.
        let closed = || self.listeners.closed(end.tuple());
        if end.reset_sent.is_some() { closed().or(open) } else { open }
    }

    /// The listener here that an end which has not come through at once wants to reach.
    fn service(&self, end: &End) -> Option<&Listener> {
        end.reset_connecting().and_then(|_| self.listeners.at(end.tuple().swapped()))
    }
}

pub(super) fn supersedes(winner: usize, loser: usize) -> bool {
    CATALOGUE[winner].supersedes.contains(&CATALOGUE[loser].id)
}
