//! The story of an incident, from both ends: what the sockets remember and what was seen of them.

use crate::{
    death::Death,
    errno::Errno,
    event::{Owner, Place, Snapshot, Source},
    finding::{Happening, Step},
    name::Comm,
    pattern::{End, Parked, SentReset, View},
    time::Time,
};
use tracer_common::{State, record::socket::CLOSED_BY_EXIT};

/// The steps of both ends, oldest first.
pub(super) fn timeline(view: &View<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let reason = |sent: &SentReset| view.host.reason(sent.reason).map(str::to_owned);
    let mut tell = |local: bool, end: Option<&End>, orphan: Option<&Parked>| {
        if let Some(end) = end {
            of_end(end, local, &reason, &mut steps);
        } else if let Some(orphan) = orphan {
            of_orphan(orphan, local, &reason, &mut steps);
        }
    };
    tell(true, view.end, view.parked);
    tell(false, view.peer, view.peer_parked);
    if let Some(loose) = view.loose.filter(|_| view.peer.is_none() && view.peer_parked.is_none()) {
        let reason = view.host.reason(loose.reason).map(str::to_owned);
        steps.push(Step { at: loose.at, local: false, what: Happening::ResetSent { reason }, by: None });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

fn of_end(end: &End, local: bool, reason: &impl Fn(&SentReset) -> Option<String>, steps: &mut Vec<Step>) {
    past(&end.snapshot, local, end.owner(), steps);
    // When it died nobody saw: the call that came upon it is told below.
    if let Some((at, _)) = end.reset_received.filter(|_| !end.unseen && !end.reset_itself()) {
        steps.push(Step { at, local, what: Happening::ResetReceived, by: None });
    }
    if let Some(sent) = end.reset_sent {
        let by = sent.by.map(|task| actor(task.pid, task.comm));
        steps.push(Step { at: sent.at, local, what: Happening::ResetSent { reason: reason(&sent) }, by });
    }
    if let Some((at, from, _)) = end.failed.filter(|_| !end.unseen) {
        steps.push(Step {
            at,
            local,
            what: Happening::State { from, to: State::Close, death: None },
            by: None,
        });
    }
    if let Some(piped) = end.piped.filter(|piped| end.observed.iter().all(|(at, ..)| *at != piped.at)) {
        let what = Happening::CallFailed { call: "send", errno: Errno::EPIPE };
        steps.push(Step { at: piped.at, local, what, by: Some(actor(piped.by.pid, piped.by.comm)) });
    }
    for &(at, call, errno) in &end.observed {
        steps.push(Step { at, local, what: Happening::CallFailed { call, errno }, by: end.owner() });
    }
}

fn of_orphan(
    orphan: &Parked,
    local: bool,
    reason: &impl Fn(&SentReset) -> Option<String>,
    steps: &mut Vec<Step>,
) {
    past(&orphan.last, local, orphan.owner(), steps);
    if let Some(sent) = orphan.reset_sent() {
        let what = Happening::ResetSent { reason: reason(&sent) };
        steps.push(Step { at: sent.at, local, what, by: None });
    }
}

/// What was kept beside the socket.
fn past(snapshot: &Snapshot, local: bool, owner: Option<Owner>, steps: &mut Vec<Step>) {
    use State::{Close, CloseWait, Established, FinWait1, LastAck, SynRecv, SynSent};
    let past = &snapshot.past;
    let mut step = |ns: u64, what: Happening, by: Option<Owner>| {
        if let Some(at) = Time::seen(ns) {
            steps.push(Step { at, local, what, by });
        }
    };
    let change = |from, to| Happening::State { from, to, death: None };
    let outgoing = super::tell::direction(past) == Some(crate::finding::Direction::Outgoing);
    if outgoing {
        let connected = owner.filter(|owner| owner.source != Source::Scan);
        step(past.born_ns, change(Close, SynSent), connected);
    }
    let before = if outgoing { SynSent } else { SynRecv };
    step(past.established_ns, change(before, Established), None);
    step(past.fin_received_ns, change(Established, CloseWait), None);
    step(past.eof_read_ns, Happening::EofRead, owner);
    if past.fin_sent_ns != 0 {
        let second = past.fin_received_ns != 0 && past.fin_received_ns <= past.fin_sent_ns;
        let (from, to) = if second { (CloseWait, LastAck) } else { (Established, FinWait1) };
        // Only who closed is known for certain to have done it.
        let closer = owner.filter(|owner| owner.source == Source::Close);
        let death = (past.flags & CLOSED_BY_EXIT != 0).then(|| Death::of(past.exit_code));
        step(past.fin_sent_ns, Happening::State { from, to, death }, closer);
    }
}

fn actor(pid: u32, comm: Comm) -> Owner {
    Owner { pid, comm, source: Source::Close, fd: None, place: Place::default() }
}
