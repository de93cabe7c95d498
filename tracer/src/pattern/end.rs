//! The ends of connections, as they are remembered.

use super::{Piped, SentReset};
use crate::{
    death::Death,
    errno::Errno,
    event::{Called, Cookie, Drop, HalfOpen, Owner, QueueLook, Resent, Snapshot},
    finding::FindingId,
    time::Time,
};
use std::{ops::Deref, time::Duration};
use tracer_common::{
    State,
    record::{reset_sent::Segment, socket::Tuple},
};

/// RSTs of one end that were not believed, and are kept.
const MOST_REFUSED: usize = 16;
/// For how long they are kept.
pub const REFUSED_WITHIN: Duration = Duration::from_mins(1);

/// A search for a port among all that are taken is over within this time.
const ONE_CALL: Duration = Duration::from_secs(1);

/// Calls of one end whose errors are kept: what comes after says the same again.
const MOST_OBSERVED: usize = 4;

/// Findings of one end that later ones refer to: the newest ones.
const MOST_TOLD: usize = 16;

/// One end of a connection to which something happened.
///
/// Most ends are in order, and there are many: what is seen of few has its room only when it is seen. It is read as if
/// it were the end's own, and written through [`End::seen`].
#[derive(Clone, Debug)]
pub struct End {
    /// The newest snapshot of it.
    pub snapshot: Snapshot,
    /// When it entered its state; none when that was not seen.
    pub since: Option<Time>,
    seen: Option<Box<Seen>>,
}

/// What is seen of few ends.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Until when it is remembered although it is open and in order.
    pub keep_until: Option<Time>,
    /// When a RST was received.
    pub reset_received: Option<(Time, Snapshot)>,
    /// The RST it sent.
    pub reset_sent: Option<SentReset>,
    /// When it was aborted from this side: a RST of its own goes out.
    pub aborted: Option<Time>,
    /// Its death.
    pub failed: Option<(Time, State, Errno)>,
    /// The errors that calls of the program got, the first ones.
    pub observed: Vec<(Time, &'static str, Errno)>,
    /// Whether its death was never told: a call that failed of it came to light.
    pub unseen: bool,
    /// Its process' last send that gave EPIPE.
    pub piped: Option<Piped>,
    /// When it was connected after it had answered something by a RST.
    pub connected: Option<Time>,
    /// When the same process was connected to the same port after this end was refused.
    pub retried: Option<Time>,
    /// The call that failed, and how many of its kind did in the last second.
    pub called: Option<Box<(Called, usize)>>,
    /// The queue of a listener, and since when it has been full.
    pub queue: Option<(QueueLook, Option<Time>)>,
    /// The answer to a SYN that was sent again last: of this connection; or of one that this listener was asked for
    /// when its queue of half-open connections was full, a moment ago.
    pub half_open: Option<Box<HalfOpen>>,
    /// What is known of the last segment that was sent again, where it was told.
    pub resent: Option<Resent>,
    /// When a SYN came for it while it was open.
    pub refused_syn: Option<Time>,
    /// The RSTs of the last minute that its kernel did not believe: when, whether outside the window, and what.
    pub refused_resets: Vec<(Time, Drop, Segment)>,
    /// Since when the peer's window is closed, and what is to be sent next.
    pub stalled: Option<(Time, u32)>,
    /// What was to be sent next when that was told.
    pub stall_told: Option<u32>,
    /// The owner, as a look has found it.
    pub holder: Option<Owner>,
    /// What was told of it.
    pub told: Vec<FindingId>,
}

/// What is seen of most ends.
static NOTHING: Seen = Seen::nothing();

impl Seen {
    const fn nothing() -> Self {
        Self {
            keep_until: None,
            reset_received: None,
            reset_sent: None,
            aborted: None,
            failed: None,
            observed: Vec::new(),
            unseen: false,
            piped: None,
            connected: None,
            retried: None,
            called: None,
            queue: None,
            half_open: None,
            resent: None,
            refused_syn: None,
            refused_resets: Vec::new(),
            stalled: None,
            stall_told: None,
            holder: None,
            told: Vec::new(),
        }
    }
}

impl Deref for End {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        self.seen.as_deref().unwrap_or(&NOTHING)
    }
}

impl End {
    /// An end of which nothing but a snapshot is known.
    pub const fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, since: None, seen: None }
    }

    /// What is seen of it, to be added to.
    pub fn seen(&mut self) -> &mut Seen {
        self.seen.get_or_insert_with(|| Box::new(Seen::nothing()))
    }

    /// Forgets what `forget` says, where anything is known.
    pub fn forget(&mut self, forget: impl FnOnce(&mut Seen)) {
        if let Some(seen) = &mut self.seen {
            forget(seen);
        }
    }

    /// The connection.
    pub fn tuple(&self) -> Tuple {
        self.snapshot.tuple()
    }

    /// Whether it stands for a connection that has no socket yet: its SYN was answered, no more.
    pub fn stands_in(&self) -> bool {
        self.snapshot.socket.cookie == 0 && self.snapshot.state == State::SynRecv
    }

    /// The answer to a SYN that was sent again last; see [`Seen::half_open`].
    pub fn half_open(&self) -> Option<HalfOpen> {
        self.half_open.as_deref().copied()
    }

    /// Notes what a call of its program got.
    pub fn observe(&mut self, at: Time, call: &'static str, errno: Errno) {
        if self.observed.len() < MOST_OBSERVED {
            self.seen().observed.push((at, call, errno));
        }
    }

    /// Notes a finding that was told of it.
    pub fn tell(&mut self, id: FindingId) {
        keep_newest(&mut self.seen().told, id);
    }

    /// Notes a RST that its kernel did not believe.
    pub fn refuse(&mut self, at: Time, why: Drop, segment: Segment) {
        let refused = &mut self.seen().refused_resets;
        refused.retain(|(before, ..)| at.since(*before) < REFUSED_WITHIN);
        if refused.len() < MOST_REFUSED {
            refused.push((at, why, segment));
        }
    }

    /// The RST by which it answered, while it connected, a segment that did not fit its SYN.
    pub fn reset_connecting(&self) -> Option<(SentReset, Segment)> {
        let sent = self.reset_sent.filter(|sent| sent.state == State::SynSent)?;
        Some((sent, sent.answered?))
    }

    /// When a call of its program got this error.
    pub fn observed(&self, errno: Errno) -> Option<Time> {
        self.observed.iter().find(|(.., seen)| *seen == errno).map(|(at, ..)| *at)
    }

    /// Whether its own kernel reset it: data met a socket that was shut down for receiving. No RST came.
    ///
    /// A RST that does come is never answered by one. `tcp_rcv_state_process()`:
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c>
    pub fn reset_itself(&self) -> bool {
        let died = |(_, old, errno): (Time, State, Errno)| {
            matches!(old, State::FinWait1 | State::FinWait2) && errno == Errno::ECONNRESET
        };
        self.failed.is_some_and(died) && self.reset_sent.is_some_and(|sent| sent.answered.is_some())
    }

    /// Whether the call of connect() that returns at `now` had begun an attempt and taken it back before it had a
    /// port: no SYN was made.
    ///
    /// `tcp_v4_connect()`, <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c>
    pub fn attempt_taken_back(&self, now: Time) -> bool {
        let (at, own) = (&self.snapshot, &self.snapshot.socket);
        let clean = own.err == 0 && own.shutdown == 0 && at.past.established_ns == 0;
        let just_now = self.since.is_some_and(|since| now.since(since) < ONE_CALL);
        let untried = at.tuple().local_port == 0 && at.past.born_ns != 0;
        let of_before = self.failed.is_none_or(|(failed, ..)| failed.0 < at.past.born_ns);
        at.state == State::Close && at.owned() && of_before && clean && just_now && untried
    }

    /// Lets go of what happened to an earlier attempt of the same socket, before it began anew at `born`.
    pub fn begin_anew(&mut self, born: Time) {
        self.forget(|seen| {
            if seen.reset_received.is_some_and(|(at, _)| at < born) {
                seen.reset_received = None;
            }
            seen.observed.retain(|(at, ..)| *at >= born);
        });
    }

    /// With which error its attempt to connect had failed that connect() is now called again for, when that call
    /// says `errno`: the kernel has no other error to give once the first was taken.
    ///
    /// `__inet_stream_connect()`, <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/af_inet.c>
    pub fn attempt_repeated(&self, errno: Errno) -> Option<(Time, Errno)> {
        let (at, old, first) = self.failed?;
        let again = errno == Errno::ECONNABORTED && first != errno && old == State::SynSent;
        again.then_some((at, first))
    }

    /// How its process died, when it did so with this end open, and not in good order.
    pub fn death(&self) -> Option<Death> {
        self.snapshot.death()
    }

    /// The process that owns it: what acted on it before what merely holds it.
    pub fn owner(&self) -> Option<Owner> {
        let known = self.snapshot.owner();
        match (known, self.holder) {
            (Some(owner), Some(holder)) if owner.pid == holder.pid => Some(Owner { fd: holder.fd, ..owner }),
            (Some(owner), _) => Some(owner),
            (None, holder) => holder,
        }
    }
}

/// An orphan in FIN_WAIT2 of which only a TIME_WAIT remainder is left.
#[derive(Clone, Debug)]
pub struct Parked {
    /// What was last seen of it.
    pub last: Snapshot,
    /// When it was parked.
    pub at: Time,
    /// For how long it stays.
    pub stays: Duration,
    reset_sent: Option<Box<SentReset>>,
    /// What was told of it.
    pub told: Vec<FindingId>,
}

impl Parked {
    /// An orphan that was parked at `at`, of which `told` was told before.
    pub const fn new(last: Snapshot, at: Time, stays: Duration, told: Vec<FindingId>) -> Self {
        Self { last, at, stays, reset_sent: None, told }
    }

    /// Its cookie.
    pub fn cookie(&self) -> Cookie {
        self.last.cookie
    }

    /// The connection.
    pub fn tuple(&self) -> Tuple {
        self.last.tuple()
    }

    /// When its process closed it.
    pub fn closed(&self) -> Option<Time> {
        Time::seen(self.last.past.fin_sent_ns)
    }

    /// The process that closed it.
    pub fn owner(&self) -> Option<Owner> {
        self.last.owner()
    }

    /// The RST it answered with.
    pub fn reset_sent(&self) -> Option<SentReset> {
        self.reset_sent.as_deref().copied()
    }

    /// Notes the RST it answers with.
    pub fn answer(&mut self, sent: SentReset) {
        self.reset_sent = Some(Box::new(sent));
    }

    /// Notes a finding that was told of it.
    pub fn tell(&mut self, id: FindingId) {
        keep_newest(&mut self.told, id);
    }
}

fn keep_newest(told: &mut Vec<FindingId>, id: FindingId) {
    if told.len() >= MOST_TOLD {
        told.remove(0);
    }
    told.push(id);
}

#[cfg(test)]
mod tests {
    use super::{FindingId, MOST_TOLD, keep_newest};

    #[test]
    fn of_what_was_told_the_newest_is_kept() {
        let mut told = Vec::new();
        (1..=100).for_each(|id| keep_newest(&mut told, FindingId(id)));
        assert_eq!(told.len(), MOST_TOLD);
        assert_eq!(told.last(), Some(&FindingId(100)));
    }
}
