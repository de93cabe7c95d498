//! What a rule is shown, and what it may answer.

use super::{End, Host, Moment, Parked};
use crate::{
    errno::Errno,
    event::{Cookie, Delivery, HalfOpen, Owner, Presence, Task},
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

/// A RST that a rule of this host makes comes to an end on this host within this time.
const REJECTED_WITHIN: Duration = Duration::from_secs(1);

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
    /// Whether its listen() was seen.
    pub from_the_start: bool,
    /// The last SYN that it has answered once more, and when.
    pub half_open: Option<(Time, HalfOpen)>,
    /// Since when its queue is full, by the looks at it; whether that was told.
    pub full: Option<(Time, bool)>,
    /// When it stopped listening, and the connections that waited then, in the order in which they were reset.
    pub closed: Option<(Time, Vec<Cookie>)>,
}
