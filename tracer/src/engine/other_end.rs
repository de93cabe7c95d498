//! The other end of a connection of which nothing was told: it is asked for before a finding is.

use super::{
    Engine,
    case::{Case, CaseId, CaseKind},
};
use crate::{
    event::Snapshot,
    pattern::{Moment, Parked},
    time::Time,
};

impl Engine {
    /// Whether a finding would not say who is at the other end of a connection that was established.
    pub(super) fn other_end_is_unknown(&self, id: CaseId, case: &Case, now: Time) -> bool {
        // A call and a queue are one process' own matter; what nobody has asked for is nobody's.
        if matches!(id.kind, CaseKind::On(Moment::Called | Moment::QueueFull | Moment::Loose)) {
            return false;
        }
        let view = self.view(id, case, now, true);
        let snapshot = view.end.map(|end| &end.snapshot).or(view.parked.map(|orphan| &orphan.last));
        let was_established = |end: &Snapshot| end.past.established_ns != 0 || end.preexisting();
        view.peer.is_none()
            && view.peer_parked.is_none()
            && snapshot.is_some_and(|end| was_established(end) && end.tuple().remote_port != 0)
    }

    /// The other end as a look has found it. What an event has told of it is more; one that began after what is being
    /// judged is another connection's.
    pub(super) fn other_end(&mut self, at: Time, end: &Snapshot) {
        if self.ends.get(end.cookie).is_some() || self.orphans.get(end.cookie).is_some() {
            return;
        }
        let near = self.ends.with_addresses(end.tuple().swapped()).into_iter().map(|end| end.snapshot.cookie);
        let orphan = self.orphans.peer(end.tuple()).map(Parked::cookie);
        let asked = near.chain(orphan).flat_map(|cookie| self.cases.of(cookie));
        let incident = asked.filter_map(|id| self.cases.occasion(id)).max();
        if incident.is_some_and(|incident| Time(end.past.born_ns) <= incident) {
            self.keep_awhile(at, end);
        }
    }
}
