//! The engine: records in, findings out. It owns no clock, does no I/O and never waits.
//!
//! [`Engine::ingest`] takes events in any order, [`Engine::advance`] lets time pass, [`Engine::next_deadline`]
//! says when it wants to be called again. What it found, what it wants to know and what it let go of is taken
//! with [`Engine::take_findings`] and [`Engine::take_requests`].

mod aged;
mod asked;
mod calls;
mod case;
mod compose;
mod counting;
mod index;
mod judge;
mod listeners;
mod loose;
mod loss;
mod order;
mod orphans;
mod parking;
mod polling;
mod quiet;
mod recover;
mod segments;
mod signals;
mod stays;
mod storm;
mod story;
mod table;
mod take;
mod tell;

use crate::{
    event::{Cookie, Event, Listens},
    finding::{Finding, FindingId},
    pattern::{CATALOGUE, HOLD, Host, POLL_PERIOD, POLL_SHARE, Pattern, STORM_WINDOW},
    time::Time,
};
pub use counting::{Counting, Lossy};
pub use polling::Polling;

use asked::Asked;
use case::Cases;
use listeners::Listeners;
use loss::Losses;
use order::Order;
use orphans::Orphans;
use stays::Stays;
use std::{collections::BTreeMap, time::Duration};
use storm::Storms;
use table::Table;
use tracer_common::{State, record::socket::Tuple};

/// How long a closed connection is kept for what may still refer to it.
const KEEP_CLOSED: Duration = Duration::from_secs(10);
/// How long a look may take before the judgement goes on without it.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);
/// Looks for one socket in a second; each costs the kernel a hash look-up.
const LOOKS_A_SECOND: u32 = 500;

/// How much an engine remembers.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Ends to which something happened.
    pub ends: usize,
    /// Parked orphans.
    pub parked: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { ends: 65_536, parked: 65_536 }
    }
}

/// Something the engine cannot know from events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Who holds descriptors of sockets that wait or have failed: answered by holders, then an answer for none.
    Holders,
    /// Whether this very socket (or its remainder) still is, and in which state: answered by one answer.
    Socket {
        /// Its cookie.
        cookie: Cookie,
        /// Its addresses and namespace.
        tuple: Tuple,
    },
    /// Whether the other end of this socket is on this host, and in which state: answered by one answer.
    Peer {
        /// The cookie of the socket whose other end it is.
        cookie: Cookie,
        /// The other end's addresses; in which namespace it is, if in any, is not known. This is the socket's.
        tuple: Tuple,
    },
}

/// How full the engine is, and what it let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Ends to which something happened.
    pub ends: usize,
    /// Parked orphans.
    pub parked: usize,
    /// Listeners.
    pub listeners: usize,
    /// Incidents being judged.
    pub cases: usize,
    /// Ends that gave way to newer ones.
    pub evicted_ends: u64,
    /// Orphans that gave way to newer ones.
    pub evicted_parked: u64,
    /// Incidents that were judged at once, without waiting for what explains them, because there were too many.
    pub evicted_cases: u64,
    /// Looks that were not asked for because there were too many in a second.
    pub looks_skipped: u64,
    /// Findings by pattern, storms counted in full.
    pub findings: BTreeMap<&'static str, u64>,
}

/// Correlates events into findings.
pub struct Engine {
    host: Host,
    /// Which patterns of the catalogue are on.
    active: Vec<bool>,
    asked: Asked,
    order: Order,
    ends: Table,
    orphans: Orphans,
    listeners: Listeners,
    loose: loose::LooseResets,
    /// Those that a rule of this host's packet filter sent.
    rejected: loose::LooseResets,
    signals: signals::Signals,
    calls: calls::Calls,
    losses: Losses,
    /// Whether RSTs that answer what nobody here has asked for are judged.
    scans: bool,
    cases: Cases,
    stays: Stays,
    storms: Storms,
    findings: Vec<Finding>,
    requests: Vec<Request>,
    /// The second that runs, and the looks asked for in it.
    looks: (Time, u32),
    told: u64,
    load: Load,
    now: Time,
}

impl Engine {
    /// An engine with the given knowledge of the host, judging by the patterns that `active` lets pass.
    pub fn new(host: Host, capacity: Capacity, active: impl Fn(&Pattern) -> bool) -> Self {
        let active: Vec<bool> = CATALOGUE.iter().map(|pattern| active(pattern)).collect();
        let asked = Asked::new(&host, &active);
        Self {
            stays: Stays::new(asked.stays.iter().copied(), capacity.ends.max(capacity.parked)),
            asked,
            active,
            host,
            order: Order::default(),
            ends: Table::new(capacity.ends),
            orphans: Orphans::new(capacity.parked),
            listeners: Listeners::default(),
            loose: loose::LooseResets::default(),
            rejected: loose::LooseResets::default(),
            signals: signals::Signals::default(),
            calls: calls::Calls::default(),
            losses: Losses::default(),
            scans: true,
            cases: Cases::new(capacity.ends.saturating_add(capacity.parked)),
            storms: Storms::default(),
            findings: Vec::new(),
            requests: Vec::new(),
            looks: (Time(0), 0),
            told: 0,
            load: Load::default(),
            now: Time(0),
        }
    }

    /// Judges no RSTs that answer what nobody here has asked for: they come in floods, and nobody is shown what is
    /// told of them.
    pub fn pass_over_scans(&mut self) {
        self.scans = false;
    }

    /// Takes an event. Those within a small window may come in any order.
    #[inline] // an event is large: it is copied once less
    pub fn ingest(&mut self, event: Event) {
        self.now = self.now.max(event.at);
        self.order.push(event);
        self.settle();
    }

    /// Lets time pass until `now`.
    pub fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.settle();
    }

    /// When [`Self::advance`] is to be called next; [`Time::NEVER`] when nothing is waited for.
    pub fn next_deadline(&self) -> Time {
        let waits = [
            self.order.next(),
            self.cases.next(),
            self.stays.next(),
            self.storms.next(),
            self.ends.next_leaving(),
        ];
        waits.into_iter().flatten().min().unwrap_or(Time::NEVER)
    }

    /// The findings made since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// The questions asked since the last call.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// Ends a run: judges what is open without waiting any more, and lets go of what storms hold.
    pub fn finish(&mut self) {
        while let Some(mut event) = self.order.pop(Time::NEVER) {
            self.take(&mut event);
        }
        let mut open: Vec<_> = self.cases.iter().map(|(id, case)| (case.occasion.at(), id)).collect();
        open.sort_unstable();
        for (_, id) in open {
            self.judge_last(id);
        }
        for finding in self.storms.flush() {
            self.findings.push(finding);
        }
    }

    /// How full it is, and what it let go of.
    pub fn load(&self) -> Load {
        Load {
            ends: self.ends.len(),
            parked: self.orphans.len(),
            listeners: self.listeners.len(),
            cases: self.cases.len(),
            evicted_ends: self.ends.evicted,
            evicted_parked: self.orphans.evicted,
            ..self.load.clone()
        }
    }

    /// Handles everything that is due, in the order of its time.
    fn settle(&mut self) {
        let now = self.now;
        while let Some(mut event) = self.order.pop(now) {
            self.due(event.at);
            self.take(&mut event);
            self.order.reuse(event);
        }
        // What may still be preceded by an event in the window is not due yet.
        self.due(now - order::WINDOW);
    }

    /// Handles every deadline up to `until`.
    fn due(&mut self, until: Time) {
        loop {
            if let Some(id) = self.cases.due(until) {
                self.judge(id, until);
            } else if let Some(due) = self.stays.due(until) {
                self.open_timed(due, until);
            } else if self.storms.next().is_some_and(|at| at <= until) {
                self.findings.extend(self.storms.due(until, self.host.time(&STORM_WINDOW)));
            } else {
                break;
            }
        }
        self.forget(until);
    }

    /// Forgets closed ends that nothing can refer to any more.
    fn forget(&mut self, now: Time) {
        while let Some(cookie) = self.ends.left(now) {
            let Some(end) = self.ends.get(cookie) else { continue };
            // A cookie may have come back to life: a socket that connects again after a failure.
            let again = end.failed.is_some_and(|(at, ..)| at + KEEP_CLOSED > now);
            if again || end.keep_until.is_some_and(|until| until > now) {
                self.ends.leave(cookie, now);
            } else if end.snapshot.state != State::CloseWait {
                self.ends.remove(cookie);
            }
        }
        self.orphans.expire(now);
        self.stays.prune(
            |cookie, since| self.ends.get(cookie).is_some_and(|end| end.since == Some(since)),
            |cookie| self.orphans.get(cookie).is_some(),
        );
        self.loose.expire(now);
        self.rejected.expire(now);
    }

    /// Who listens in the namespaces that are wanted, those of a namespace side by side.
    pub fn listening(&self, wanted: impl Fn(u32) -> bool) -> Vec<Listens> {
        self.listeners.of_namespaces(wanted)
    }

    /// The namespaces in which a queue of half-open connections was full a moment ago, each once.
    pub fn syn_floods(&self) -> Vec<u32> {
        self.listeners.syn_floods(self.now)
    }

    /// How often what makes no event is to be looked at.
    pub fn poll_period(&self) -> Duration {
        self.host.time(&POLL_PERIOD)
    }

    /// How much of a CPU these looks may take together.
    pub fn poll_share(&self) -> f64 {
        self.host.share(&POLL_SHARE)
    }

    fn hold(&self) -> Duration {
        self.host.time(&HOLD)
    }

    fn next_id(&mut self) -> FindingId {
        self.told += 1;
        FindingId(self.told)
    }
}
