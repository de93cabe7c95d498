//! System calls that failed, and the errors that `SO_ERROR` told.

use super::Engine;
use crate::{
    errno::Errno,
    event::{Call, Called, Cookie, Event, Owner, Snapshot, Source, Task},
    pattern::{End, Moment},
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::{collections::VecDeque, time::Duration};
use tracer_common::{
    State,
    record::socket::{OWNER_IO, Past, Socket, Tuple},
};

/// Over what time equal failures are counted.
const WITHIN: Duration = Duration::from_secs(1);
/// More processes and listeners than can be out of descriptors at a time.
const CAPACITY: usize = 1_024;
/// Cookies of the engine's own begin here: those of the kernel count from 1.
const OWN_COOKIES: u64 = 1 << 63;

/// What is kept of calls that failed.
#[derive(Default)]
pub(super) struct Calls {
    /// When accept() failed, by process and listener.
    accepts: HashMap<(u32, Cookie), VecDeque<Time>, RandomState>,
    /// Subjects that have no socket of their own, or none that is known.
    subjects: u64,
}

impl Calls {
    /// Counts a failure; how many there were in the last second, this one included.
    fn accept_failed(&mut self, pid: u32, listener: Cookie, at: Time) -> usize {
        if self.accepts.len() >= CAPACITY {
            self.accepts.retain(|_, times| times.back().is_some_and(|last| at.since(*last) < WITHIN));
        }
        if self.accepts.len() >= CAPACITY && !self.accepts.contains_key(&(pid, listener)) {
            return 1;
        }
        let times = self.accepts.entry((pid, listener)).or_default();
        while times.pop_front_if(|time| at.since(*time) >= WITHIN).is_some() {}
        times.push_back(at);
        times.len()
    }

    pub(super) fn next_subject(&mut self) -> Cookie {
        self.subjects += 1;
        Cookie(OWN_COOKIES | self.subjects)
    }
}

impl Engine {
    pub(super) fn called(&mut self, event: &Event, called: &Called) {
        let known = called.end.and_then(|end| self.ends.get(end.cookie)).map(|end| end.snapshot.cookie);
        let tells = matches!(called.call, Call::Connect | Call::Shutdown | Call::TakeError);
        // What connect() says of an attempt that had begun is that end's matter.
        let attempt = known.filter(|cookie| {
            let of =
                |end: &End| end.attempt_taken_back(event.at) || end.attempt_repeated(called.errno).is_some();
            called.call == Call::Connect && self.ends.get(*cookie).is_some_and(of)
        });
        if let (Some(cookie), true) = (known, tells) {
            self.observe(cookie, event.at, called.call.name(), called.errno);
            if attempt.is_none() && self.ends.get(cookie).is_some_and(|end| end.failed.is_some()) {
                return;
            }
        }
        let repeated = match (called.call, called.end) {
            (Call::Accept, Some(listener)) => {
                self.calls.accept_failed(event.task.pid, listener.cookie, event.at)
            }
            _ => 1,
        };
        let own = || self.calls.next_subject();
        let subject = known.filter(|_| called.call == Call::TakeError).or(attempt).unwrap_or_else(own);
        if known != Some(subject) {
            let end = called.end.unwrap_or_else(|| nothing(event, called));
            self.ends.update(&Snapshot { cookie: subject, ..end }).since = Some(event.at);
        }
        if let Some(end) = self.ends.get_mut(subject) {
            end.seen().called = Some(Box::new((called.clone(), repeated)));
            let Task { pid, comm, .. } = event.task;
            let source = if called.call == Call::Connect { Source::Connect } else { Source::Io };
            end.seen().holder =
                Some(Owner { pid, comm, source, fd: u32::try_from(called.fd).ok(), place: called.place });
        }
        self.open_on(subject, Moment::Called, event.at);
        if subject.0 & OWN_COOKIES != 0 {
            self.let_go(subject, event.at);
        }
    }

    /// A call tells an error of a known end.
    pub(super) fn observe(&mut self, cookie: Cookie, at: Time, call: &'static str, errno: Errno) {
        if let Some(end) = self.ends.get_mut(cookie) {
            end.observe(at, call, errno);
            self.touch(cookie, at);
        }
    }
}

/// What stands for a descriptor that is none of a TCP socket: its caller alone is known.
fn nothing(event: &Event, called: &Called) -> Snapshot {
    let past = Past {
        cgroup: called.place.cgroup,
        owner: event.task.pid,
        ns_pid: called.place.ns_pid,
        comm: event.task.comm.0,
        source: OWNER_IO,
        ..Past::default()
    };
    let socket = Socket { tuple: Tuple { netns: called.netns, ..Tuple::default() }, ..Socket::default() };
    Snapshot { cookie: Cookie(0), state: State::Close, socket, past }
}
