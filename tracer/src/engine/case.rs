//! Incidents that are being judged: what is waited for, and until when.

use crate::{
    event::{Cookie, Presence},
    pattern::Occasion,
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::{cmp::Reverse, collections::BinaryHeap};

/// One incident at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CaseId {
    pub(super) subject: Cookie,
    pub(super) kind: CaseKind,
}

/// Which rules judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CaseKind {
    Failed,
    ResetSent,
    CallFailed,
    Abandoned,
    Died,
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
    /// Since when a look is awaited; none when none is.
    pub(super) looking: Option<Time>,
    /// Whether the look is for this one socket, not for all holders.
    pub(super) exact: bool,
    /// What the look has found.
    pub(super) looked: Option<Presence>,
    /// Whether the owner was looked for.
    pub(super) owner_sought: bool,
}

/// The open cases.
#[derive(Default)]
pub(super) struct Cases {
    open: HashMap<CaseId, Case, RandomState>,
    due: BinaryHeap<Reverse<(Time, u64, CaseId)>>,
    serial: u64,
}

impl PartialOrd for CaseId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CaseId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.subject.cmp(&other.subject)
    }
}

impl Cases {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn contains(&self, id: CaseId) -> bool {
        self.open.contains_key(&id)
    }

    /// The open cases of one end.
    pub(super) fn of(&self, subject: Cookie, stays: usize) -> Vec<CaseId> {
        let kinds = [
            CaseKind::Failed,
            CaseKind::ResetSent,
            CaseKind::CallFailed,
            CaseKind::Abandoned,
            CaseKind::Died,
        ];
        let timed = (0..stays).flat_map(|index| [CaseKind::Stay(index), CaseKind::Parked(index)]);
        kinds
            .into_iter()
            .chain(timed)
            .map(|kind| CaseId { subject, kind })
            .filter(|id| self.open.contains_key(id))
            .collect()
    }

    /// Cases that wait for a look at all holders.
    pub(super) fn looking(&self) -> Vec<CaseId> {
        let mut ids: Vec<CaseId> =
            self.open.iter().filter(|(_, case)| case.looking.is_some()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn get_mut(&mut self, id: CaseId) -> Option<&mut Case> {
        self.open.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CaseId, &Case)> {
        self.open.iter()
    }

    /// Takes a case out for judgement.
    pub(super) fn take(&mut self, id: CaseId) -> Option<Case> {
        self.open.remove(&id)
    }

    /// Puts a case (back); it is due at its `next`.
    pub(super) fn put(&mut self, id: CaseId, case: Case) {
        self.serial += 1;
        self.due.push(Reverse((case.next, self.serial, id)));
        self.open.insert(id, case);
    }

    /// The next case that is due by `now`.
    pub(super) fn due(&mut self, now: Time) -> Option<CaseId> {
        loop {
            let Reverse((at, _, id)) = *self.due.peek()?;
            if at > now {
                return None;
            }
            self.due.pop();
            // Put back since with another time: that entry counts, not this one.
            if self.open.get(&id).is_some_and(|case| case.next <= now) {
                return Some(id);
            }
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }
}
