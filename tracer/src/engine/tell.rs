//! Tells what was decided, and keeps what later findings refer to.

use super::{
    Engine,
    case::{Case, CaseId, CaseKind},
    compose,
    judge::supersedes,
    storm,
};
use crate::{
    event::{Cookie, Owner},
    finding::{Direction, FindingId},
    pattern::{CATALOGUE, Found, Group, Moment, Parked, Pattern, STORM_WINDOW, by_id},
    time::Time,
};
use std::net::SocketAddr;
use tracer_common::record::socket::{INCOMING, OUTGOING, Past, Tuple};

impl Engine {
    /// Tells the most specific of what was found; the others that hold are named in it.
    pub(super) fn tell(&mut self, id: CaseId, case: &Case, found: &[(usize, Box<Found>)], now: Time) {
        let beaten = |index: usize| found.iter().any(|(winner, _)| supersedes(*winner, index));
        let mut best: Vec<_> = found.iter().filter(|(index, _)| !beaten(*index)).collect();
        best.sort_by(|(_, a), (_, b)| b.confidence.total_cmp(&a.confidence));
        let Some((primary, chosen)) = best.first().copied() else { return };
        let mut also: Vec<&'static str> = found
            .iter()
            .filter(|(index, _)| index != primary)
            .map(|(index, _)| CATALOGUE[*index].id)
            .collect();
        also.extend(chosen.also.iter().filter(|id| by_id(id).is_some_and(|p| self.is_on(p))));
        let finding_id = self.next_id();
        let finding = {
            let view = self.view(id, case, now, true);
            compose::finding(finding_id, CATALOGUE[*primary], chosen, also, &view, &self.losses)
        };
        *self.load.findings.entry(finding.pattern).or_default() += 1;
        if let (CaseKind::On(Moment::Stalled), Some(end)) = (id.kind, self.ends.get_mut(id.subject)) {
            end.forget(|seen| seen.stall_told = seen.stalled.map(|(_, next)| next));
        }
        if let (CaseKind::On(Moment::ResetRefused), Some(end)) = (id.kind, self.ends.get_mut(id.subject)) {
            end.forget(|seen| seen.refused_resets.clear()); // what was told is not counted again
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
    fn remember(&mut self, subject: Cookie, tuple: Tuple, id: FindingId) {
        let snapshot = self.ends.get(subject).map(|end| end.snapshot);
        let peer = snapshot.and_then(|snapshot| self.ends.peer(&snapshot)).map(|end| end.snapshot.cookie);
        for cookie in [Some(subject), peer].into_iter().flatten() {
            if let Some(end) = self.ends.get_mut(cookie) {
                end.tell(id);
            }
        }
        let orphan = self.orphans.peer(tuple).map(Parked::cookie);
        for cookie in [Some(subject), orphan].into_iter().flatten() {
            if let Some(orphan) = self.orphans.get_mut(cookie) {
                orphan.tell(id);
            }
        }
    }
}

/// Findings with the same key are one storm: by pattern, owner, and the end that offers the service.
pub(super) fn storm_key(
    index: usize,
    owner: Option<Owner>,
    tuple: Tuple,
    past: &Past,
    group: Group,
) -> storm::Key {
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
