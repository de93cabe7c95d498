//! The cgroups that records name: learnt when they are made, kept when they are gone.

use crate::{name::printable, time::Time};
use hashbrown::HashMap;
use std::{collections::VecDeque, time::Duration};

/// Cgroups that are remembered: some megabytes. A busy host makes as many containers in hours.
const CGROUPS: usize = 16_384;
/// Processes of which the older hierarchies' cgroup is remembered.
const PROCESSES: usize = 4_096;

/// For how long what was read of a process counts.
const READ_LATELY: Duration = Duration::from_mins(1);

/// Paths of cgroups.
#[derive(Default)]
pub struct Places {
    /// Of version 2, by inode number.
    cgroups: Table<u64, String>,
    /// Of the older version, by process, and when that was read.
    processes: Table<u32, (Time, String)>,
    /// Whether /proc has other numbers than the kernel tells.
    pub(super) apart: bool,
}

/// A map in which the oldest entry gives way.
struct Table<K, V> {
    entries: HashMap<K, V>,
    arrivals: VecDeque<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), arrivals: VecDeque::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash, V> Table<K, V> {
    fn put(&mut self, key: K, value: V, most: usize) {
        if self.entries.insert(key, value).is_some() {
            self.arrivals.retain(|other| *other != key);
        }
        self.arrivals.push_back(key);
        while self.entries.len() > most
            && let Some(oldest) = self.arrivals.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

impl Places {
    /// None yet; whether /proc shows processes by the numbers that the kernel tells.
    pub fn new(host_pids: bool) -> Self {
        Self { apart: !host_pids, ..Self::default() }
    }

    /// Takes note of a cgroup of version 2.
    pub fn made(&mut self, id: u64, path: &[u8]) {
        self.cgroups.put(id, printable(path), CGROUPS);
    }

    /// Takes note of where a process is in the older hierarchies.
    pub fn seen(&mut self, pid: u32, at: Time, path: &[u8]) {
        self.processes.put(pid, (at, printable(path)), PROCESSES);
    }

    /// The path of a cgroup of version 2.
    pub(super) fn of_cgroup(&self, id: u64) -> Option<&str> {
        self.cgroups.entries.get(&id).map(String::as_str)
    }

    /// Where a process was in the older hierarchies, if that was read near that time: numbers are given away again.
    pub(super) fn of_process(&self, pid: u32, at: Time) -> Option<&str> {
        let (read, path) = self.processes.entries.get(&pid)?;
        (at.since(*read) < READ_LATELY).then_some(path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{CGROUPS, PROCESSES, Places};
    use crate::time::Time;

    #[test]
    fn the_oldest_give_way_and_no_others() {
        let mut places = Places::default();
        for id in 0..=CGROUPS as u64 {
            places.made(id, format!("/{id}").as_bytes());
        }
        assert_eq!(places.of_cgroup(0), None);
        assert_eq!(places.of_cgroup(1), Some("/1"));
        places.made(1, b"/again");
        places.made(1_000_000, b"/new");
        assert_eq!(places.of_cgroup(1), Some("/again"));
        assert_eq!(places.of_cgroup(2), None);
        for pid in 0..=PROCESSES {
            places.seen(u32::try_from(pid).expect("few"), Time(1), b"/docker");
        }
        assert_eq!((places.of_process(0, Time(1)), places.of_process(1, Time(1))), (None, Some("/docker")));
    }
}
