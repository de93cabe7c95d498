//! Who owns what was told: findings are put to the incidents they are about.

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs, mem,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};
use tracer::{
    command::demo::{
        verdict::{is_at, pids},
        watcher::Told,
    },
    lab::case::{Expected, Staged},
};

/// Something that has happened, and what its own processes saw of it.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) name: String,
    /// What has to be told; `None` for a decoy.
    pub(crate) expected: Option<Expected>,
    port: u16,
    pids: Vec<u32>,
    namespaces: Vec<u32>,
    /// `CLOCK_BOOTTIME`, nanoseconds, when it began.
    began: u64,
    /// When it had happened.
    pub(crate) done: Instant,
    /// `CLOCK_BOOTTIME`, nanoseconds, when its processes were let go: what they leave behind is no part of it.
    ended: Option<u64>,
}

impl Incident {
    pub(crate) fn of(staged: &Staged, began: u64) -> Self {
        Self {
            name: staged.name.clone(),
            expected: staged.expected.clone(),
            port: staged.port,
            pids: staged.pids.clone(),
            namespaces: staged.world().inodes().to_vec(),
            began,
            done: Instant::now(),
            ended: None,
        }
    }

    fn knows(&self, pid: u64) -> bool {
        self.pids.iter().any(|own| u64::from(*own) == pid)
    }

    /// Whether a finding is about this place at a time when it was this incident's.
    fn is_here(&self, finding: &Value) -> bool {
        let netns = finding["connection"]["netns"].as_u64();
        let inside = netns.is_none_or(|netns| self.namespaces.iter().any(|own| u64::from(*own) == netns));
        let when = finding["boot_ns"].as_u64().unwrap_or(u64::MAX);
        is_at(finding, self.port) && inside && when >= self.began
    }
}

/// A finding and the incident it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) finding: Value,
    pub(crate) at: Instant,
    pub(crate) incident: Option<usize>,
}

/// All that happened and all that was told in one run of the watcher.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) incidents: Vec<Incident>,
    pub(crate) heard: Vec<Heard>,
    /// Situations that could not be made to happen.
    pub(crate) unstaged: Vec<String>,
    /// Findings about what is none of the lab's, from the rest of the host.
    pub(crate) elsewhere: usize,
    /// Those findings: what was told while its situation still went on turns out to be the lab's.
    strangers: Vec<Heard>,
    namespaces: HashSet<u64>,
}

impl Book {
    /// These namespaces are the lab's, or those of the traffic beside it.
    pub(crate) fn own(&mut self, namespaces: impl IntoIterator<Item = u32>) {
        self.namespaces.extend(namespaces.into_iter().map(u64::from));
    }

    /// Whether a namespace is one of these.
    pub(crate) fn owns(&self, namespace: u64) -> bool {
        self.namespaces.contains(&namespace)
    }

    /// Takes what has happened; what was told of it before it was over is put to it.
    pub(crate) fn happened(&mut self, incident: Incident) -> usize {
        self.own(incident.namespaces.clone());
        let strangers = mem::take(&mut self.strangers);
        let (ours, strangers): (Vec<_>, Vec<_>) =
            strangers.into_iter().partition(|heard| self.is_ours(&heard.finding));
        self.strangers = strangers;
        self.elsewhere -= ours.len();
        self.heard.extend(ours);
        let number = self.incidents.len();
        self.incidents.push(incident);
        for heard in 0..self.heard.len() {
            if self.heard[heard].incident.is_none() {
                self.heard[heard].incident = self.owner(&self.heard[heard].finding);
            }
        }
        number
    }

    /// Takes what was told.
    pub(crate) fn told(&mut self, told: Told) {
        let Told { record, at } = told;
        let incident = self.owner(&record);
        if incident.is_none() && !self.is_ours(&record) {
            self.elsewhere += 1;
            self.strangers.push(Heard { finding: record, at, incident });
            return;
        }
        self.heard.push(Heard { finding: record, at, incident });
    }

    /// The incident's processes are let go.
    pub(crate) fn over(&mut self, number: usize) {
        self.incidents[number].ended = Some(boot_ns());
    }

    /// Everything has happened: what names strangers, or nobody, belongs to the last incident at its place.
    pub(crate) fn close(&mut self) {
        for heard in 0..self.heard.len() {
            if self.heard[heard].incident.is_none() {
                self.heard[heard].incident = self.place(&self.heard[heard].finding);
            }
        }
    }

    /// What was told of an incident before it was over.
    pub(crate) fn about(&self, number: usize) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.incident == Some(number) && !self.is_late(heard))
    }

    /// Whether something happened when its incident was over.
    pub(crate) fn is_late(&self, heard: &Heard) -> bool {
        let ended = heard.incident.and_then(|number| self.incidents[number].ended);
        ended.is_some_and(|ended| heard.finding["boot_ns"].as_u64().is_some_and(|when| when > ended))
    }

    /// Whether a process that a finding names is one of the lab that no incident knows: it was part of a situation that
    /// failed to happen, for which there is no label.
    pub(crate) fn is_unlabelled(&self, finding: &Value) -> bool {
        let pids = pids(finding);
        let strange = |pid: &u64| !self.incidents.iter().any(|incident| incident.knows(*pid));
        !self.unstaged.is_empty() && named_by_lab(finding) && !pids.is_empty() && pids.iter().all(strange)
    }

    /// The incident all of whose named processes are known and whose place it is.
    fn owner(&self, finding: &Value) -> Option<usize> {
        let pids = pids(finding);
        if pids.is_empty() {
            return None;
        }
        // The youngest: process ids and ports are given out again.
        self.incidents
            .iter()
            .rposition(|incident| incident.is_here(finding) && pids.iter().all(|pid| incident.knows(*pid)))
    }

    /// The incident at the place and time of a finding that does not name its processes, or wrong ones.
    fn place(&self, finding: &Value) -> Option<usize> {
        if finding["connection"].is_null() || self.is_unlabelled(finding) {
            return None;
        }
        let pids = pids(finding);
        let here = |incident: &Incident| incident.is_here(finding);
        let partly = |incident: &Incident| here(incident) && pids.iter().any(|pid| incident.knows(*pid));
        self.incidents.iter().rposition(partly).or_else(|| self.incidents.iter().rposition(here))
    }

    /// Whether a finding that belongs to no incident yet is about the lab or the traffic beside it.
    fn is_ours(&self, finding: &Value) -> bool {
        if let Some(netns) = finding["connection"]["netns"].as_u64() {
            // A world may be younger than all incidents so far.
            return self.owns(netns) || named_by_lab(finding);
        }
        let inside = |pid: &u64| {
            let namespace = fs::metadata(format!("/proc/{pid}/ns/net"));
            namespace.is_ok_and(|namespace| self.owns(namespace.ino()))
        };
        named_by_lab(finding) || pids(finding).iter().any(inside)
    }
}

/// Whether it names a process of the lab.
fn named_by_lab(finding: &Value) -> bool {
    let processes = [&finding["process"], &finding["peer"]["process"]];
    processes.iter().any(|process| process["comm"].as_str().is_some_and(|comm| comm.starts_with("lab-")))
}

/// `CLOCK_BOOTTIME`, the clock of the records, nanoseconds.
pub(crate) fn boot_ns() -> u64 {
    // It exists since Linux 2.6.39, and never fails.
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) const NETNS: u32 = 4_026_532_000;

    /// A client that was refused at port 80.
    pub(crate) fn incident(pid: u32, port: u16) -> Incident {
        let expected = Expected {
            pattern: "connection_refused",
            port,
            netns: NETNS,
            local_pid: Some(pid),
            fd: None,
            peer_pid: None,
            peer_is_silent: false,
            errno: Some("ECONNREFUSED".to_owned()),
            allowed: &["broken_pipe"],
        };
        Incident {
            name: format!("connection_refused/test {port}"),
            expected: Some(expected),
            port,
            pids: vec![pid],
            namespaces: vec![NETNS],
            began: 100,
            done: Instant::now(),
            ended: None,
        }
    }

    pub(crate) fn finding(pattern: &str, pid: Option<u32>, port: u16) -> Value {
        let mut finding = json!({
            "type": "finding", "pattern": pattern, "severity": "warning", "boot_ns": 200, "errno": "ECONNREFUSED",
            "connection": {"netns": NETNS, "local": {"port": 40_000}, "remote": {"port": port}},
        });
        if let Some(pid) = pid {
            finding["process"] = json!({"pid": pid, "comm": "lab-client"});
        }
        finding
    }

    pub(crate) fn told(record: Value) -> Told {
        Told { record, at: Instant::now() }
    }

    #[test]
    fn a_finding_belongs_to_its_processes_whichever_comes_first() {
        let mut book = Book::default();
        book.own([NETNS]);
        book.told(told(finding("connection_refused", Some(7), 80)));
        assert_eq!(book.heard[0].incident, None);
        book.happened(incident(6, 80));
        book.happened(incident(7, 80));
        assert_eq!(book.heard[0].incident, Some(1));
        book.told(told(finding("connection_refused", Some(6), 80)));
        assert_eq!(book.heard[1].incident, Some(0));
    }

    #[test]
    fn who_names_strangers_is_put_to_the_place_in_the_end() {
        let mut book = Book::default();
        book.happened(incident(6, 80));
        for pid in [Some(1), None] {
            book.told(told(finding("connection_refused", pid, 80)));
        }
        book.told(told(finding("connection_refused", Some(1), 81)));
        assert!(book.heard.iter().all(|heard| heard.incident.is_none()));
        book.close();
        let owners: Vec<_> = book.heard.iter().map(|heard| heard.incident).collect();
        assert_eq!(owners, [Some(0), Some(0), None]);
    }

    #[test]
    fn what_was_told_before_its_situation_was_over_is_put_to_it() {
        let mut book = Book::default();
        book.told(told(finding("embryonic_reset", None, 80)));
        assert_eq!((book.elsewhere, book.heard.len()), (1, 0));
        book.happened(incident(6, 80));
        book.close();
        assert_eq!((book.elsewhere, book.heard[0].incident), (0, Some(0)));
    }

    #[test]
    fn what_happens_elsewhere_or_later_is_not_about_an_incident() {
        let mut book = Book::default();
        book.happened(incident(6, 80));
        let mut elsewhere = finding("connection_refused", Some(1), 80);
        elsewhere["connection"]["netns"] = json!(1);
        elsewhere["process"]["comm"] = json!("curl");
        book.told(told(elsewhere));
        assert_eq!((book.elsewhere, book.heard.len()), (1, 0));
        book.told(told(finding("connection_refused", Some(6), 80)));
        book.over(0);
        let mut late = finding("connection_reset", Some(6), 80);
        late["boot_ns"] = json!(u64::MAX);
        book.told(told(late));
        assert_eq!(book.about(0).count(), 1);
        assert!(book.is_late(&book.heard[1]));
    }

    #[test]
    fn a_situation_that_failed_has_no_label() {
        let mut book = Book::default();
        book.happened(incident(6, 80));
        let finding = finding("connection_refused", Some(9), 80);
        assert!(!book.is_unlabelled(&finding));
        book.unstaged.push("connection_refused/test".to_owned());
        assert!(book.is_unlabelled(&finding));
    }
}
