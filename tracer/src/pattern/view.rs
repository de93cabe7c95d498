//! What a rule is shown, and what it may answer.

use super::{Host, Moment};
use crate::{
    death::Death,
    errno::Errno,
    event::{Called, Cookie, Delivery, Drop, HalfOpen, Owner, Presence, QueueLook, Resent, Snapshot, Task},
    finding::FindingId,
    time::Time,
};
use std::time::Duration;
use tracer_common::{
    State,
    record::{reset_sent::Segment, socket::Tuple},
};

/// The bit of SYN in a TCP header's flags, RFC 9293.
const SYN: u8 = 0x02;
/// That of ACK.
const ACK: u8 = 0x10;

/// RSTs of one end that were not believed, and are kept.
const MOST_REFUSED: usize = 16;
/// For how long they are kept.
pub const REFUSED_WITHIN: Duration = Duration::from_mins(1);

/// A RST that a rule of this host makes comes to an end on this host within this time.
const REJECTED_WITHIN: Duration = Duration::from_secs(1);

/// A search for a port among all that are taken is over within this time.
const ONE_CALL: Duration = Duration::from_secs(1);

/// Calls of one end whose errors are kept: what comes after says the same again.
const MOST_OBSERVED: usize = 4;

/// One incident as a rule sees it. Pure: two equal views give equal verdicts.
pub struct View<'a> {
    /// The time of the judgement.
    pub now: Time,
    /// Why the rule is asked.
    pub occasion: &'a Occasion,
    /// The end this is about; none when only a parked orphan is left of it.
    pub end: Option<&'a End>,
    /// What is left of this end, when it is an orphan that was parked.
    pub parked: Option<&'a Parked>,
    /// The other end's socket, when it is on this host and something happened to it.
    pub peer: Option<&'a End>,
    /// What is left of the other end, when it is an orphan that was parked.
    pub peer_parked: Option<&'a Parked>,
    /// A RST that went out for no socket and fits the other end's addresses.
    pub loose: Option<&'a Loose>,
    /// A RST by which a rule of this host's packet filter answered what this end sent.
    pub rejected: Option<&'a Loose>,
    /// The listener whose queue this end waits in, none when several fit; or the closed one whose port refused it.
    pub listener: Option<&'a Listener>,
    /// The listener on this host that this end connects to.
    pub service: Option<&'a Listener>,
    /// Other ends of the same owner and service that have stayed as long in the same state, this one included.
    pub alike: usize,
    /// What a look has found, once one was asked for.
    pub looked: Option<Presence>,
    /// What a look for the other end, to which nothing has happened, has found on this host.
    pub peer_looked: Option<Presence>,
    /// Whether records were lost that may have told of this incident.
    pub lost: bool,
    /// The host's settings and vocabulary.
    pub host: &'a Host,
    /// Nothing more is waited for: `Wait` counts as `No`.
    pub last: bool,
}

impl View<'_> {
    /// Whether the RST that this end has received is one that a rule of this host's packet filter made.
    pub fn rejected_here(&self) -> bool {
        let received = self.end.and_then(|end| end.reset_received);
        received.zip(self.rejected).is_some_and(|((received, _), rejected)| {
            rejected.at <= received && received.since(rejected.at) < REJECTED_WITHIN
        })
    }
}

/// Why a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Occasion {
    /// The end went to CLOSE with an error: [`Moment::Failed`].
    Failed {
        /// When.
        at: Time,
        /// From which state.
        old: State,
        /// With which error.
        errno: Errno,
    },
    /// Any other moment, and when it was.
    On(Moment, Time),
    /// The end has stayed in a state.
    Stayed {
        /// When the rule became due.
        at: Time,
    },
    /// The parked orphan is about to expire.
    Parked {
        /// When the rule became due.
        at: Time,
    },
}

impl Occasion {
    /// When it happened.
    pub const fn at(&self) -> Time {
        match self {
            Self::Failed { at, .. } | Self::On(_, at) | Self::Stayed { at } | Self::Parked { at } => *at,
        }
    }
}

/// One end of a connection to which something happened.
#[derive(Clone, Debug)]
pub struct End {
    /// The newest snapshot of it.
    pub snapshot: Snapshot,
    /// When it entered its state; none when that was not seen.
    pub since: Option<Time>,
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
    pub called: Option<(Called, usize)>,
    /// The queue of a listener, and since when it has been full.
    pub queue: Option<(QueueLook, Option<Time>)>,
    /// The answer to a SYN that was sent again last: of this connection; or of one that this listener was asked for
    /// when its queue of half-open connections was full, a moment ago.
    pub half_open: Option<HalfOpen>,
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

impl End {
    /// An end of which nothing but a snapshot is known.
    pub const fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            since: None,
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

    /// The connection.
    pub fn tuple(&self) -> Tuple {
        self.snapshot.tuple()
    }

    /// Whether it stands for a connection that has no socket yet: its SYN was answered, no more.
    pub fn stands_in(&self) -> bool {
        self.snapshot.socket.cookie == 0 && self.snapshot.state == State::SynRecv
    }

    /// Notes what a call of its program got.
    pub fn observe(&mut self, at: Time, call: &'static str, errno: Errno) {
        if self.observed.len() < MOST_OBSERVED {
            self.observed.push((at, call, errno));
        }
    }

    /// Notes a RST that its kernel did not believe.
    pub fn refuse(&mut self, at: Time, why: Drop, segment: Segment) {
        self.refused_resets.retain(|(before, ..)| at.since(*before) < REFUSED_WITHIN);
        if self.refused_resets.len() < MOST_REFUSED {
            self.refused_resets.push((at, why, segment));
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
        self.reset_received = self.reset_received.filter(|(at, _)| *at >= born);
        self.observed.retain(|(at, ..)| *at >= born);
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

/// A send that gave EPIPE.
#[derive(Clone, Copy, Debug)]
pub struct Piped {
    /// When.
    pub at: Time,
    /// The thread that sent.
    pub by: Task,
    /// What became of the SIGPIPE; none when none was sent (`MSG_NOSIGNAL`).
    pub signal: Option<Delivery>,
    /// When the process died of it.
    pub killed: Option<Time>,
}

/// A RST that a socket of this host sent.
#[derive(Clone, Copy, Debug)]
pub struct SentReset {
    /// When it had left.
    pub at: Time,
    /// The state the socket was in.
    pub state: State,
    /// `enum sk_rst_reason`, when the kernel gives one.
    pub reason: Option<i32>,
    /// The segment it answered; none for a RST of this end's own accord.
    pub answered: Option<Segment>,
    /// The process that acted; none when none did.
    pub by: Option<Task>,
}

/// An orphan in FIN_WAIT2 of which only a TIME_WAIT remainder is left.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Its cookie.
    pub cookie: Cookie,
    /// The connection.
    pub tuple: Tuple,
    /// When its process closed it.
    pub closed: Option<Time>,
    /// When it was parked.
    pub at: Time,
    /// For how long it stays.
    pub stays: Duration,
    /// The process that closed it.
    pub owner: Option<Owner>,
    /// The last snapshot's user id and direction.
    pub last: Snapshot,
    /// The RST it answered with.
    pub reset_sent: Option<SentReset>,
    /// What was told of it.
    pub told: Vec<FindingId>,
}

/// A RST for no socket.
#[derive(Clone, Copy, Debug)]
pub struct Loose {
    /// When.
    pub at: Time,
    /// `enum sk_rst_reason`, when the kernel gives one.
    pub reason: Option<i32>,
    /// The segment it answered.
    pub answered: Segment,
}

impl Loose {
    /// Whether it answered the answer to an attempt to connect.
    pub fn of_syn_ack(&self) -> bool {
        self.answered.tcp_flags & (SYN | ACK) == SYN | ACK
    }

    /// Whether it answered an attempt to connect, or the answer to one.
    pub fn of_syn(&self) -> bool {
        self.answered.tcp_flags & SYN != 0
    }
}

/// A listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its cookie.
    pub cookie: Cookie,
    /// Where it listens.
    pub tuple: Tuple,
    /// Its owner.
    pub owner: Option<Owner>,
    /// When a look last confirmed that.
    pub confirmed: Option<Time>,
    /// Whether it was made in a cgroup that is asked for; false where none is.
    pub in_cgroup: bool,
    /// Its queue's limit when last seen.
    pub limit: u32,
    /// Whether it is of MPTCP: its descriptor leads to another socket, so that no look finds a holder.
    pub mptcp: bool,
    /// The last SYN that it has answered once more, and when.
    pub half_open: Option<(Time, HalfOpen)>,
    /// Since when its queue is full, by the looks at it; whether that was told.
    pub full: Option<(Time, bool)>,
    /// When it stopped listening, and the connections that waited then, in the order in which they were reset.
    pub closed: Option<(Time, Vec<Cookie>)>,
}
