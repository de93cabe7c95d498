//! Why a socket of this host sent a RST of its own accord.
//!
//! Each cause leaves its mark in the socket's fields, so that it is told where the kernel gives no reason too. The
//! reason of a close with `SO_LINGER` 0 is `TCP_STATE`, not `TCP_ABORT_ON_LINGER`, which means `TCP_LINGER2`.
//! `__tcp_close()`, `tcp_disconnect()`, `tcp_abort()`:
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>

use super::{End, Host, SentReset, Verdict, View};
use crate::{death::Death, errno::Errno, event::Snapshot};
use tracer_common::{State, record::socket};

/// Why a RST went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its process died: of a signal, or with a status other than 0.
    Died(Death),
    /// Its process closed it with so many bytes unread.
    Unread(u32),
    /// Its process closed it with `SO_LINGER` of 0 s.
    Linger,
    /// Its process closed it with `TCP_LINGER2` below 0: there is no FIN_WAIT2 without a process.
    NoFinWait2,
    /// The kernel had no memory to spare for what its process had closed.
    Memory,
    /// Its process called connect() with `AF_UNSPEC`.
    Disconnect,
    /// An administrator destroyed it.
    Destroyed,
    /// It waited in the queue of a listener that was closed.
    QueueClosed,
    /// None of these.
    Other,
    /// What tells has not happened yet.
    Open,
}

/// Why this end sent a RST; none when it sent none of its own accord.
pub(super) fn of(end: &End, host: &Host) -> Option<Cause> {
    let sent = end.reset_sent?;
    let snapshot = &end.snapshot;
    let (own, reason) = (&snapshot.socket, host.reason(sent.reason));
    let left_early = own.linger2 < 0 && snapshot.dead();
    if let Some(answered) = sent.answered {
        // It answers the acknowledgement of its FIN; data would have been refused anyway.
        let early = left_early && answered.payload == 0 && matches!(reason, None | Some("TCP_ABORT_ON_DATA"));
        return early.then_some(Cause::NoFinWait2);
    }
    if reason == Some("TCP_ABORT_ON_MEMORY") || (reason.is_none() && given_up(&sent, snapshot)) {
        return Some(Cause::Memory); // timers tell it before the change to CLOSE
    }
    if end.failed.is_some_and(|(.., errno)| errno == Errno::ECONNABORTED) {
        return Some(Cause::Destroyed);
    }
    if end.failed.is_some() {
        return Some(Cause::Other);
    }
    if snapshot.state != State::Close {
        // tcp_abort() tells the RST before the change to CLOSE, and so do timers.
        return Some(Cause::Open);
    }
    if snapshot.queued() && sent.by.is_none() {
        return Some(Cause::QueueClosed);
    }
    let linger = own.flags & socket::LINGER_ZERO != 0 && own.shutdown == socket::SHUTDOWN_MASK;
    let unread =
        reason == Some("TCP_ABORT_ON_CLOSE") || (reason.is_none() && snapshot.unread() > 0 && !linger);
    Some(match snapshot.death() {
        Some(death) => Cause::Died(death),
        None if unread => Cause::Unread(snapshot.unread()),
        None if linger => Cause::Linger,
        None if reason == Some("TCP_ABORT_ON_LINGER") || (reason.is_none() && left_early) => {
            Cause::NoFinWait2
        }
        None if own.shutdown == 0 && !snapshot.dead() && own.flags & socket::LINGER == 0 => Cause::Disconnect,
        None => Cause::Other,
    })
}

/// Whether a timer gave up an orphan that still has something to send: only `tcp_out_of_resources()` sends a RST then.
/// <https://github.com/torvalds/linux/blob/v6.1/net/ipv4/tcp_timer.c#L84-L121>
fn given_up(sent: &SentReset, orphan: &Snapshot) -> bool {
    let closing = matches!(sent.state, State::FinWait1 | State::Closing | State::LastAck);
    closing && sent.by.is_none() && orphan.dead()
}

/// Why the other end sent the RST that this one received; none when that is not seen (yet), or nobody is told.
pub(super) fn of_reset(view: &View<'_>) -> Option<Cause> {
    let (_, before) = view.end?.reset_received?;
    if before.dead() { None } else { of(view.peer?, view.host) }
}

/// As [`of_reset`]; what a rule says instead while that may still come to light, or never will.
pub(super) fn sought(view: &View<'_>) -> Result<Cause, Verdict> {
    let Some((_, before)) = view.end.and_then(|end| end.reset_received) else { return Err(Verdict::No) };
    let unseen = view.peer.is_none_or(|peer| peer.reset_sent.is_none());
    let elsewhere = view.loose.is_some() || view.peer_parked.is_some() || before.dead();
    match of_reset(view) {
        Some(Cause::Open) if !view.last => Err(Verdict::Wait),
        Some(cause) => Ok(cause),
        None if unseen && !elsewhere && !view.last => Err(Verdict::Wait),
        None => Err(Verdict::No),
    }
}

/// Whether the other end's own process shut it down for receiving, and its kernel reset both: a finding of that end.
pub(super) fn peer_reset_itself(view: &View<'_>) -> bool {
    view.peer.is_some_and(|peer| peer.reset_itself() && !peer.snapshot.dead())
}

/// What a rule that is asked about a RST of this end says before it looks further: the victim's own finding names
/// both ends if it is here and its program is told, so it is waited for.
pub(super) fn leave_to_victim(view: &View<'_>) -> Option<Verdict> {
    let told = view.peer.is_some_and(|peer| peer.reset_received.is_some_and(|(_, before)| !before.dead()));
    match (told, view.last) {
        (true, _) => Some(Verdict::No),
        (false, false) => Some(Verdict::Wait),
        (false, true) => None,
    }
}

/// Whether the other end had closed before, so that a RST of this end hurts nobody.
pub(super) fn peer_had_closed(view: &View<'_>) -> bool {
    view.peer_parked.is_some() || view.end.is_some_and(|end| end.snapshot.fin_received())
}
