//! Why a socket of this host sent a RST of its own accord.
//!
//! Each cause leaves its mark in the socket's fields, so that it is told where the kernel gives no reason too. The
//! reason of a close with `SO_LINGER` 0 is `TCP_STATE`, not `TCP_ABORT_ON_LINGER`, which means `TCP_LINGER2`.
//! `__tcp_close()`, `tcp_disconnect()`, `tcp_abort()`:
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>

use super::{End, Host, Verdict, View};
use crate::{death::Death, errno::Errno};
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
    let sent = end.reset_sent.filter(|sent| sent.answered.is_none())?;
    let snapshot = &end.snapshot;
    let (own, reason) = (&snapshot.socket, host.reason(sent.reason));
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
        None if own.shutdown == 0 && !snapshot.dead() && own.flags & socket::LINGER == 0 => Cause::Disconnect,
        None => Cause::Other,
    })
}

/// Why the other end sent the RST that this one received; none when that is not seen (yet), or nobody is told.
pub(super) fn of_reset(view: &View<'_>) -> Option<Cause> {
    let (_, before) = view.end?.reset_received?;
    if before.dead() { None } else { of(view.peer?, view.host) }
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
