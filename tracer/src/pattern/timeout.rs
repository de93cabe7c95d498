//! Which of the kernel's timers ended a connection. They all give ETIMEDOUT, or the errno of an ICMP error that had
//! come before; the socket's fields tell them apart.
//!
//! `tcp_write_timeout()`, `tcp_probe_timer()`, `tcp_keepalive_timer()`:
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_timer.c>

use super::{Occasion, View};
use crate::errno::Errno;
use tracer_common::{State, record::socket};

/// What gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// The SYN was not answered.
    Connect,
    /// Keepalive probes were not answered.
    Keepalive,
    /// Probes of a closed window were not answered, or the window did not open in `TCP_USER_TIMEOUT`.
    ZeroWindow,
    /// `TCP_USER_TIMEOUT` passed with data unacknowledged.
    User,
    /// Retransmissions were not answered for as long as `tcp_retries2` says.
    Retransmission,
}

/// Which timer ended this end's connection, and with which errno; none when none did, or nobody was told.
pub(super) fn of(view: &View<'_>) -> Option<(Timeout, Errno)> {
    let (Occasion::Failed { old, errno, .. }, Some(end)) = (*view.occasion, view.end) else { return None };
    let at = &end.snapshot;
    // A timer runs in an interrupt, with the socket not owned; no RST came.
    if at.owned() || at.dead() || end.reset_received.is_some() || errno == Errno::ECONNABORTED {
        return None;
    }
    if old == State::SynSent {
        return (errno == Errno::ETIMEDOUT).then_some((Timeout::Connect, errno));
    }
    let own = &at.socket;
    let idle = at.unsent() == 0 && at.unacked() == 0;
    let which = if own.flags & socket::KEEPALIVE != 0 && own.probes > 0 && idle {
        Timeout::Keepalive
    } else if own.snd_wnd == 0 && own.probes > 0 && at.unsent() > 0 {
        Timeout::ZeroWindow
    } else if own.user_timeout != 0 && at.unacked() > 0 {
        Timeout::User
    } else if own.retransmits > 0 && at.unacked() > 0 {
        Timeout::Retransmission
    } else {
        return None;
    };
    Some((which, errno))
}

/// What an ICMP error that had come before adds to the story.
pub(super) fn icmp_before(errno: Errno) -> String {
    if errno == Errno::ETIMEDOUT {
        String::new()
    } else {
        format!(" An ICMP error had come before, so the errno is {errno} instead of ETIMEDOUT.")
    }
}
