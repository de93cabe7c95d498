//! How rules say who and what.

use crate::{
    event::{Owner, Snapshot},
    pattern::{Pattern, View},
    time::{Spoken, Time},
};
use std::time::Duration;

/// `curl[4242]`, or what stands in for an unknown process.
pub(super) fn who(owner: Option<Owner>, unknown: &str) -> String {
    owner.map_or_else(|| unknown.to_owned(), |owner| format!("{}[{}]", owner.comm, owner.pid))
}

/// `curl`, or what stands in for an unknown process.
pub(super) fn comm(owner: Option<Owner>, unknown: &str) -> String {
    owner.map_or_else(|| unknown.to_owned(), |owner| owner.comm.to_string())
}

/// `1 byte`, `9 bytes`.
pub(super) fn bytes(count: u32) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// ` 9 bytes it had written are lost.`, or nothing.
pub(super) fn loss(end: &Snapshot) -> String {
    match end.undelivered() {
        0 => String::new(),
        lost => format!(" {} it had written are lost.", bytes(lost)),
    }
}

/// What to do, beginning with what holds for this connection.
pub(super) fn advise(pattern: &Pattern, here: &str) -> String {
    format!("{here} {}", pattern.text.en.advice).trim_start().to_owned()
}

/// `3.2 s`
pub(super) fn spoken(duration: Duration) -> Spoken {
    Spoken(duration)
}

/// The owner of the end a view is about.
pub(super) fn owner(view: &View<'_>) -> Option<Owner> {
    view.end.and_then(super::End::owner).or_else(|| view.parked.and_then(super::Parked::owner))
}

/// The owner of the other end.
pub(super) fn peer_owner(view: &View<'_>) -> Option<Owner> {
    view.peer.and_then(super::End::owner).or_else(|| view.peer_parked.and_then(super::Parked::owner))
}

/// When the process at the other end closed.
pub(super) fn peer_closed(view: &View<'_>) -> Option<Time> {
    let orphan = view.peer_parked.and_then(super::Parked::closed);
    orphan.or_else(|| view.peer.and_then(|end| Time::seen(end.snapshot.past.fin_sent_ns)))
}
