//! Asks the rules about an incident, and decides between their answers.

use super::{
    Engine, LOOK_PATIENCE, LOOKS_A_SECOND, Request,
    case::{Case, CaseId, CaseKind},
    storm,
};
use crate::{
    event::{Cookie, Owner, Presence},
    finding::Direction,
    pattern::{
        CATALOGUE, End, Found, Group, Listener, Moment, Pattern, STORM_WINDOW, Trigger, Verdict, View,
    },
    time::Time,
};
use std::{net::SocketAddr, time::Duration};
use tracer_common::{
    State,
    record::socket::{INCOMING, OUTGOING, Past, Tuple},
};

/// A call that waits in the kernel returns this soon after what it waits for, if the host is not overloaded.
const CALL_RETURNS: Duration = Duration::from_millis(5);

/// What the rules said together.
struct Answers {
    found: Vec<(usize, Box<Found>)>,
    /// The patterns that cannot tell yet.
    undecided: Vec<usize>,
    next: Option<Time>,
    look: bool,
}

impl Engine {
    /// Judges an open case at `now`.
    pub(super) fn judge(&mut self, id: CaseId, now: Time) {
        let Some(case) = self.cases.take(id) else { return };
        if case.looking.is_some() && now < case.next {
            self.cases.put(id, case);
            return;
        }
        let last = now >= case.last;
        self.decide(id, case, now, last);
    }

    /// Judges an open case for good.
    pub(super) fn judge_last(&mut self, id: CaseId) {
        if let Some(mut case) = self.cases.take(id) {
            case.owner_sought = true;
            if matches!(id.kind, CaseKind::Stay(_) | CaseKind::Parked(_)) {
                case.looked.get_or_insert(Presence::Unknown);
            }
            self.decide(id, case, self.now, true);
        }
    }

    fn decide(&mut self, id: CaseId, mut case: Case, now: Time, last: bool) {
        if case.looking.is_some() {
            // The look was not answered in time.
            case.looking = None;
            case.looked.get_or_insert(Presence::Unknown);
        }
        let answers = self.ask(id, &case, now, last);
        if answers.look && case.looked.is_none() {
            self.look(id, case, now);
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

    /// Asks for a look, and judges again when it is answered or patience ends.
    fn look(&mut self, id: CaseId, mut case: Case, now: Time) {
        let request = match (id.kind, self.orphans.get(id.subject)) {
            (CaseKind::Parked(_) | CaseKind::On(Moment::ResetSent), Some(orphan)) => {
                Request::Socket { cookie: orphan.cookie, tuple: orphan.tuple }
            }
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

    fn may_look(&mut self, now: Time) -> bool {
        let (second, asked) = &mut self.looks;
        if now.since(*second) >= Duration::from_secs(1) {
            (*second, *asked) = (now, 0);
        }
        *asked += 1;
        *asked <= LOOKS_A_SECOND
    }

    fn ask(&self, id: CaseId, case: &Case, now: Time, last: bool) -> Answers {
        let mut answers = Answers { found: Vec::new(), undecided: Vec::new(), next: None, look: false };
        for (index, pattern) in CATALOGUE.iter().enumerate() {
            if !self.active[index] || !asks(pattern, index, id.kind) {
                continue;
            }
            match (pattern.judge)(&self.view(id, case, now, last, index)) {
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
            }
        }
        answers
    }

    pub(super) fn view<'a>(
        &'a self,
        id: CaseId,
        case: &'a Case,
        now: Time,
        last: bool,
        index: usize,
    ) -> View<'a> {
        let parked = self.orphans.get(id.subject);
        // What befalls a remainder is told of the remainder, also while what it was is remembered.
        let of_remainder =
            parked.is_some() && matches!(id.kind, CaseKind::On(Moment::ResetSent) | CaseKind::Parked(_));
        let end = self.ends.get(id.subject).filter(|_| !of_remainder);
        let tuple = end.map(End::tuple).or(parked.map(|orphan| orphan.tuple));
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
            listener: end.and_then(|end| self.listener(end)),
            alike: 1 + end.map_or(0, |end| {
                let key = storm_key(index, end.owner(), end.tuple(), &end.snapshot.past, Group::Service);
                self.storms.total(&key)
            }),
            looked: case.looked,
            host: &self.host,
            last,
        }
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

    /// Tells the most specific of what was found; the others that hold are named in it.
    fn tell(&mut self, id: CaseId, case: &Case, found: &[(usize, Box<Found>)], now: Time) {
        let beaten = |index: usize| found.iter().any(|(winner, _)| supersedes(*winner, index));
        let mut best: Vec<_> = found.iter().filter(|(index, _)| !beaten(*index)).collect();
        best.sort_by(|(_, a), (_, b)| b.confidence.total_cmp(&a.confidence));
        let Some((primary, chosen)) = best.first().copied() else { return };
        let mut also: Vec<&'static str> = found
            .iter()
            .filter(|(index, _)| index != primary)
            .map(|(index, _)| CATALOGUE[*index].id)
            .collect();
        also.extend(
            chosen.also.iter().filter(|id| super::super::pattern::by_id(id).is_some_and(|p| self.is_on(p))),
        );
        let finding_id = self.next_id();
        let finding = {
            let view = self.view(id, case, now, true, *primary);
            super::compose::finding(finding_id, CATALOGUE[*primary], chosen, also, &view, &self.losses)
        };
        *self.load.findings.entry(finding.pattern).or_default() += 1;
        if let (CaseKind::On(Moment::Stalled), Some(end)) = (id.kind, self.ends.get_mut(id.subject)) {
            end.stall_told = end.stalled.map(|(_, next)| next);
        }
        let past = self.past_of(id.subject);
        let key = storm_key(*primary, finding.local.owner, finding.local.tuple, &past, chosen.group);
        self.remember(id.subject, finding.local.tuple, finding_id);
        let window = self.host.time(&STORM_WINDOW);
        if let Some(finding) = self.storms.take(key, finding, now, window) {
            self.findings.push(finding);
        }
    }

    fn is_on(&self, pattern: &Pattern) -> bool {
        CATALOGUE.iter().zip(&self.active).any(|(other, on)| *on && other.id == pattern.id)
    }

    fn past_of(&self, subject: Cookie) -> Past {
        let end = self.ends.get(subject).map(|end| end.snapshot.past);
        end.or_else(|| self.orphans.get(subject).map(|orphan| orphan.last.past)).unwrap_or_default()
    }

    /// Later findings of this connection, at either end, follow this one.
    fn remember(&mut self, subject: Cookie, tuple: Tuple, id: crate::finding::FindingId) {
        let snapshot = self.ends.get(subject).map(|end| end.snapshot);
        let peer = snapshot.and_then(|snapshot| self.ends.peer(&snapshot)).map(|end| end.snapshot.cookie);
        for cookie in [Some(subject), peer].into_iter().flatten() {
            if let Some(end) = self.ends.get_mut(cookie) {
                end.told.push(id);
            }
        }
        let orphan = self.orphans.peer(tuple).map(|orphan| orphan.cookie);
        for cookie in [Some(subject), orphan].into_iter().flatten() {
            if let Some(orphan) = self.orphans.get_mut(cookie) {
                orphan.told.push(id);
            }
        }
    }
}

fn asks(pattern: &Pattern, index: usize, kind: CaseKind) -> bool {
    pattern.triggers.iter().any(|trigger| match (trigger, kind) {
        (Trigger::On(moment), CaseKind::On(of)) => *moment == of,
        (Trigger::Stay(..), CaseKind::Stay(of)) | (Trigger::Parked(_), CaseKind::Parked(of)) => of == index,
        _ => false,
    })
}

fn supersedes(winner: usize, loser: usize) -> bool {
    CATALOGUE[winner].supersedes.contains(&CATALOGUE[loser].id)
}

/// Findings with the same key are one storm: by pattern, owner, and the end that offers the service.
fn storm_key(index: usize, owner: Option<Owner>, tuple: Tuple, past: &Past, group: Group) -> storm::Key {
    let service = (group == Group::Service).then(|| (service(tuple, direction(past)), tuple.netns));
    storm::Key { pattern: CATALOGUE[index].id, owner: owner.map_or(0, |owner| owner.pid), service, group }
}

/// Who called connect(), as far as is known.
pub(super) fn direction(past: &Past) -> Option<Direction> {
    match past.flags {
        flags if flags & OUTGOING != 0 => Some(Direction::Outgoing),
        flags if flags & INCOMING != 0 => Some(Direction::Incoming),
        _ => None,
    }
}

/// The end that offers the service; when nobody knows, the lower port is taken for it.
pub(super) fn service(tuple: Tuple, direction: Option<Direction>) -> SocketAddr {
    let here = match direction {
        Some(direction) => direction == Direction::Incoming,
        // A listener has no other end.
        None => tuple.remote_port == 0 || tuple.local_port < tuple.remote_port,
    };
    if here { tuple.local_address() } else { tuple.remote_address() }
}
