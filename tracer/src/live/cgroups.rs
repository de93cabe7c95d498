//! Names of cgroups: those that are there, those that are made, and where a process is in the older hierarchies, read
//! when it is first told of, since nothing else tells.

use super::{Live, Told, own::header};
use crate::{
    enrich::legacy_cgroup,
    event::{Event, Snapshot, What},
    kernel::{
        cgroup::{Hierarchy, has_legacy},
        clock,
        rights::Rights,
    },
    time::Time,
};
use anyhow::Result;
use hashbrown::HashMap;
use std::time::Duration;
use tracer_common::record::{
    Kind,
    cgroup::{Cgroup, PATH},
};

/// What was read of a process is read anew after so long: it may have moved, or its number was given away again.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Reads in a second: 15 µs each.
const READS_A_SECOND: u32 = 500;

/// Processes whose place in the older hierarchies was read.
#[derive(Default)]
pub(super) struct Sights {
    /// Whether there are such, and /proc has the processes by the numbers that the kernel tells.
    legacy: bool,
    seen: HashMap<u32, Time>,
    /// The second that runs, and the reads in it.
    reads: (Time, u32),
}

impl Sights {
    /// Whether a process is to be looked at now.
    fn wanted(&mut self, pid: u32, at: Time) -> bool {
        if self.seen.get(&pid).is_some_and(|last| at.since(*last) < READ_AGAIN) {
            return false;
        }
        let (second, reads) = self.reads;
        self.reads = if at.since(second) < Duration::from_secs(1) { (second, reads + 1) } else { (at, 1) };
        if self.reads.1 > READS_A_SECOND {
            return false;
        }
        if self.seen.len() >= READS_A_SECOND as usize * 10 {
            self.seen.retain(|_, last| at.since(*last) < READ_AGAIN);
        }
        self.seen.insert(pid, at);
        true
    }
}

impl Live {
    /// Learns the names of the cgroups that are there; those that are made from now on are told.
    pub(super) fn scan_cgroups(&mut self) -> Result<()> {
        self.sights.legacy = has_legacy()? && Rights::read()?.initial_pid_namespace;
        for (id, path) in Hierarchy::find()?.iter().flat_map(Hierarchy::walk) {
            self.feed(&record(id, std::process::id(), clock::now(), &path))?;
        }
        Ok(())
    }

    /// Takes from an event what it tells of cgroups.
    pub(super) fn note_cgroups(&mut self, event: &Event) -> Result<()> {
        if let What::Cgroup { id, path } = &event.what {
            let (pid, path) = (event.task.pid, path.clone());
            self.told.push(Told::Cgroup { id: *id, pid, at: event.at, path });
            return Ok(());
        }
        if self.sights.legacy
            && let Some(pid) = owner(&event.what).filter(|pid| *pid != 0)
            && self.sights.wanted(pid, event.at)
            && let Some(path) = legacy_cgroup(pid, clock::now())
        {
            // Later than the event it would let the engine's time pass while older records wait to be taken.
            self.feed(&record(0, pid, event.at, path.as_bytes()))?;
        }
        Ok(())
    }
}

/// The process that an event's socket is known to belong to.
fn owner(what: &What) -> Option<u32> {
    let of = |end: &Snapshot| Some(end.past.owner);
    match what {
        What::StateChange { end, .. }
        | What::ResetReceived { end }
        | What::SendFailed { end, .. }
        | What::ReceiveFailed { end, .. }
        | What::EofRead { end }
        | What::Retransmit { end, .. }
        | What::Sample { end }
        | What::Holder { end, .. } => of(end),
        What::Called(called) => called.end.as_ref().and_then(of),
        _ => None,
    }
}

fn record(id: u64, pid: u32, at: Time, name: &[u8]) -> Vec<u8> {
    use zerocopy::IntoBytes as _;
    let mut path = [0; PATH];
    let length = name.len().min(PATH);
    path[..length].copy_from_slice(&name[..length]);
    let mut header = header::<Cgroup>(Kind::Cgroup, 0);
    (header.pid, header.at_ns) = (pid, at.0);
    Cgroup { header, id, path }.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{READ_AGAIN, READS_A_SECOND, Sights};
    use crate::time::Time;

    #[test]
    fn a_process_is_read_once_in_a_while_and_few_in_a_second() {
        let mut sights = Sights::default();
        assert!(sights.wanted(1, Time(1)));
        assert!(!sights.wanted(1, Time(2)));
        assert!(sights.wanted(1, Time(2) + READ_AGAIN));
        let later = Time(3) + READ_AGAIN * 2;
        let read = (0..READS_A_SECOND * 2).filter(|pid| sights.wanted(*pid, later)).count();
        assert_eq!(read, READS_A_SECOND as usize);
    }
}
