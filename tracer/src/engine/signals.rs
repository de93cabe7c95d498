//! SIGPIPE: sent before the call returns that it belongs to, and perhaps the end of the process.

use super::{
    Engine,
    case::{CaseId, CaseKind},
};
use crate::{
    death::Death,
    event::{Delivery, Event, Owner, Place, Snapshot, Source, Task},
    pattern::{Moment, Piped},
    time::Time,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::time::Duration;

/// A call returns this soon after its signal was sent, at the latest.
const SOON: Duration = Duration::from_millis(20);
/// Threads whose SIGPIPE waits for its call; those of pipes and UNIX sockets never find one.
const CAPACITY: usize = 1_024;

/// Signals that wait for the call they belong to, by thread.
#[derive(Default)]
pub(super) struct Signals {
    by_thread: HashMap<u32, (Time, Delivery), RandomState>,
}

impl Signals {
    pub(super) fn sent(&mut self, tid: u32, at: Time, delivery: Delivery) {
        if self.by_thread.len() >= CAPACITY {
            self.by_thread.retain(|_, (sent, _)| at.since(*sent) < SOON);
        }
        if self.by_thread.len() < CAPACITY {
            self.by_thread.insert(tid, (at, delivery));
        }
    }

    /// The signal of a call that returns now.
    fn of(&mut self, tid: u32, at: Time) -> Option<Delivery> {
        let (sent, delivery) = self.by_thread.remove(&tid)?;
        (sent <= at && at.since(sent) < SOON).then_some(delivery)
    }
}

impl Engine {
    /// A send gave EPIPE.
    pub(super) fn broken_pipe(&mut self, event: &Event, end: &Snapshot) {
        let signal = self.signals.of(event.task.tid, event.at);
        if self.ends.get(end.cookie).is_none() {
            self.remember_closed(event.at, end);
        }
        if let Some(known) = self.ends.get_mut(end.cookie) {
            let Task { pid, comm, .. } = event.task;
            known.seen().holder.get_or_insert(Owner {
                pid,
                comm,
                source: Source::Io,
                fd: None,
                place: Place::default(),
            });
            known.seen().piped = Some(Piped { at: event.at, by: event.task, signal, killed: None });
        }
        self.open_on(end.cookie, Moment::CallFailed, event.at);
    }

    /// A process dies of a signal: of the SIGPIPE of a send, when that is what it died of.
    pub(super) fn process_died(&mut self, event: &Event, death: Death) {
        self.wait_cut_short(event);
        if death.name() != "SIGPIPE" {
            return;
        }
        let open =
            self.cases.iter().map(|(id, _)| id).filter(|id| id.kind == CaseKind::On(Moment::CallFailed));
        for id in open.collect::<Vec<_>>() {
            let Some(end) = self.ends.get_mut(id.subject) else { continue };
            // Only a send whose signal was delivered still waits here.
            let by_this = |piped: &&mut Piped| piped.by.pid == event.task.pid;
            let Some(piped) = end.seen().piped.as_mut().filter(by_this) else { continue };
            piped.killed = Some(event.at);
            self.judge(id, event.at);
        }
    }

    /// A process that dies while it waits in close() waits no longer, and close() tells it nothing: a signal ends
    /// `sk_stream_wait_close()`. <https://github.com/torvalds/linux/blob/v6.12/net/core/stream.c#L96-L110>
    fn wait_cut_short(&mut self, event: &Event) {
        let waits = |id: &CaseId, since: Time| {
            let Some(end) = self.ends.get(id.subject) else { return false };
            let until = end.snapshot.linger_time(self.host.hz).map(|time| since + time);
            end.owner().is_some_and(|owner| owner.pid == event.task.pid)
                && until.is_some_and(|until| event.at < until)
        };
        let lingers = self.cases.iter().filter(|(id, _)| id.kind == CaseKind::On(Moment::Lingers));
        let cut = lingers.filter(|(id, case)| waits(id, case.occasion.at())).map(|(id, _)| id);
        for id in cut.collect::<Vec<_>>() {
            self.cases.take(id);
        }
    }
}
