//! Incidents that are being judged: what is waited for, and until when.

use crate::{
    event::{Cookie, Presence},
    pattern::{Moment, Occasion},
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// One incident at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CaseId {
    pub(super) subject: Cookie,
    pub(super) kind: CaseKind,
}

/// Which rules judge it; of one end's incidents they are judged in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CaseKind {
    On(Moment),
    /// The pattern, by its place in the catalogue.
    Stay(usize),
    /// Likewise.
    Parked(usize),
}

/// What is known of the incident besides its ends.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) occasion: Occasion,
    /// When nothing more is waited for.
    pub(super) last: Time,
    /// When it is judged again, at the latest.
    pub(super) next: Time,
    /// Number of its entry in the queue of what is due; of several the newest counts.
    serial: u64,
    /// Since when a look is awaited; none when none is.
    pub(super) looking: Option<Time>,
    /// Whether the look is for this one socket, not for all holders.
    pub(super) exact: bool,
    /// Whether it is for the other end.
    pub(super) at_peer: bool,
    /// What a look for the other end has found.
    pub(super) peer_looked: Option<Presence>,
    /// What the look has found.
    pub(super) looked: Option<Presence>,
    /// Whether the owner was looked for.
    pub(super) owner_sought: bool,
    /// Whether the look is for the name of a process alone, and tells nothing of the socket.
    pub(super) asks_whose: bool,
    /// Whether it is, or was, for a process that holds the end instead of its owner.
    pub(super) asks_holder: bool,
}

impl Case {
    /// An incident that waits for what the other end tells, for `hold` at most.
    pub(super) fn new(occasion: Occasion, hold: Duration) -> Self {
        let last = occasion.at() + hold;
        Self {
            occasion,
            last,
            next: last,
            serial: 0,
            looking: None,
            exact: false,
            at_peer: false,
            peer_looked: None,
            looked: None,
            owner_sought: false,
            asks_whose: false,
            asks_holder: false,
        }
    }

    /// The look is over.
    pub(super) fn answered(&mut self, found: Presence) {
        self.looking = None;
        if self.asks_whose {
            return;
        }
        if std::mem::take(&mut self.at_peer) {
            self.peer_looked = Some(found);
        } else if self.exact {
            self.looked = Some(found);
        } else {
            // A socket that no descriptor leads to was closed in the meantime.
            self.looked.get_or_insert(Presence::Gone);
        }
    }
}

/// The cases of one end.
type OfOne = SmallVec<[(CaseKind, Case); 1]>;

/// The open cases. Bounded: what comes when there are too many is judged at once.
pub(super) struct Cases {
    /// By end: as a rule one each.
    open: HashMap<Cookie, OfOne, RandomState>,
    len: usize,
    capacity: usize,
    /// When which is due, and entries that count no more.
    due: BinaryHeap<Reverse<(Time, u64, CaseId)>>,
    serial: u64,
}

impl Cases {
    pub(super) fn new(capacity: usize) -> Self {
        Self { open: HashMap::default(), len: 0, capacity, due: BinaryHeap::new(), serial: 0 }
    }

    /// Whether no further one can wait.
    pub(super) fn full(&self) -> bool {
        self.len >= self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether anything is open at this end.
    pub(super) fn any(&self, subject: Cookie) -> bool {
        self.open.contains_key(&subject)
    }

    pub(super) fn contains(&self, id: CaseId) -> bool {
        self.get(id).is_some()
    }

    /// The open cases of one end.
    pub(super) fn of(&self, subject: Cookie) -> SmallVec<[CaseId; 2]> {
        let kinds = self.open.get(&subject).into_iter().flatten().map(|(kind, _)| *kind);
        let mut ids: SmallVec<[CaseId; 2]> = kinds.map(|kind| CaseId { subject, kind }).collect();
        ids.sort_unstable();
        ids
    }

    /// Cases that wait for a look at all holders.
    pub(super) fn looking(&self) -> Vec<CaseId> {
        let mut ids: Vec<CaseId> =
            self.iter().filter(|(_, case)| case.looking.is_some()).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    fn get(&self, id: CaseId) -> Option<&Case> {
        find(&self.open, id)
    }

    pub(super) fn get_mut(&mut self, id: CaseId) -> Option<&mut Case> {
        self.open.get_mut(&id.subject)?.iter_mut().find(|(kind, _)| *kind == id.kind).map(|(_, case)| case)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CaseId, &Case)> {
        self.open
            .iter()
            .flat_map(|(subject, cases)| cases.iter().map(|(kind, case)| (*subject, *kind, case)))
            .map(|(subject, kind, case)| (CaseId { subject, kind }, case))
    }

    /// Takes a case out for judgement.
    pub(super) fn take(&mut self, id: CaseId) -> Option<Case> {
        let cases = self.open.get_mut(&id.subject)?;
        let place = cases.iter().position(|(kind, _)| *kind == id.kind)?;
        let (_, case) = cases.swap_remove(place);
        if cases.is_empty() {
            self.open.remove(&id.subject);
        }
        self.len -= 1;
        Some(case)
    }

    /// Puts a case (back) that is not open; it is due at its `next`.
    pub(super) fn put(&mut self, id: CaseId, mut case: Case) {
        self.serial += 1;
        case.serial = self.serial;
        self.due.push(Reverse((case.next, self.serial, id)));
        self.open.entry(id.subject).or_default().push((id.kind, case));
        self.len += 1;
        if self.due.len() > 64 + 2 * self.len {
            let open = &self.open;
            self.due.retain(|Reverse((_, serial, id))| {
                find(open, *id).is_some_and(|case| case.serial == *serial)
            });
        }
    }

    /// The next case that is due by `now`.
    pub(super) fn due(&mut self, now: Time) -> Option<CaseId> {
        loop {
            let Reverse((at, serial, id)) = *self.due.peek()?;
            if at > now {
                return None;
            }
            self.due.pop();
            // It may have been closed, or put back since: then another entry counts, not this one.
            if self.get(id).is_some_and(|case| case.serial == serial) {
                return Some(id);
            }
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }
}

fn find(open: &HashMap<Cookie, OfOne, RandomState>, id: CaseId) -> Option<&Case> {
    open.get(&id.subject)?.iter().find(|(kind, _)| *kind == id.kind).map(|(_, case)| case)
}

#[cfg(test)]
mod tests {
    use super::{Case, CaseId, CaseKind, Cases};
    use crate::{
        event::Cookie,
        pattern::{Moment, Occasion},
        time::Time,
    };
    use std::time::Duration;

    #[test]
    fn cases_that_are_judged_again_and_again_are_queued_no_more_than_others() {
        let mut cases = Cases::new(10);
        let id = |number| CaseId { subject: Cookie(number), kind: CaseKind::On(Moment::Failed) };
        for number in 0..10 {
            let occasion = Occasion::On(Moment::Failed, Time(number));
            cases.put(id(number), Case::new(occasion, Duration::from_secs(1)));
        }
        assert!(cases.full());
        for _ in 0..1_000 {
            let case = cases.take(id(7)).expect("an open case");
            cases.put(id(7), case);
            assert!(cases.due.len() <= 64 + 2 * cases.len());
        }
        cases.take(id(3));
        let due: Vec<u64> = std::iter::from_fn(|| cases.due(Time(5) + Duration::from_secs(1)))
            .map(|id| id.subject.0)
            .collect();
        assert_eq!(due, [0, 1, 2, 4, 5]);
        assert_eq!(cases.due(Time::NEVER), Some(id(6)));
    }
}
