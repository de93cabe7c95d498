//! Compares what was told with what was planted.

use super::{
    fault::{Fault, Kind, Party},
    server::Testimony,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

/// Records that the kernel may hand over for a connection, at most, on average.
const RECORDS: f64 = 4.0;
/// Problems shown; more of the same help nobody.
const SHOWN: usize = 20;

/// Pattern, process and errno of findings, and how many there are.
type Sums = BTreeMap<(&'static str, u32, String), u64>;

/// How the run went.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) connections: usize,
    pub(super) planted: usize,
    /// Of the planted faults, how many were told as they happened.
    told: u64,
    /// Findings of warning or above that nothing explains.
    other: u64,
    lost: u64,
    records_a_connection: f64,
    /// Everything that is not as it should be, with the records.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    pub(super) fn of(
        records: &[Value],
        faults: &[Fault],
        witness: &Testimony,
        namespace: u32,
        connections: usize,
    ) -> Self {
        let mut verdict = Self { connections, planted: faults.len(), ..Self::default() };
        let planted = verdict.sums(faults, witness);
        let mut told = Sums::new();
        let mut by_ends: HashMap<(SocketAddr, SocketAddr), Vec<&Fault>> = HashMap::new();
        for fault in faults {
            by_ends.entry((fault.local, fault.remote)).or_default().push(fault);
        }
        let severe = |record: &&Value| record["type"] == "finding" && record["severity"] != "info";
        for record in records.iter().filter(severe) {
            let here = by_ends.get(&ends(record)).map_or(&[][..], Vec::as_slice);
            let differ = |fault: &&Fault| differences(record, fault, witness, namespace);
            let alike = here.iter().copied().filter(|fault| record["pattern"] == fault.kind.pattern());
            // Two faults can have the same ends, one after the other.
            match alike.min_by_key(|fault| differ(fault).len()) {
                Some(fault) => {
                    let wrong = differ(&fault);
                    if !wrong.is_empty() {
                        verdict.problem(format!("{}\n  {record}", wrong.join(", ")));
                    }
                    let pid = pid(&record["process"]).unwrap_or_default();
                    let errno = record["errno"].as_str().unwrap_or("none").to_owned();
                    *told.entry((fault.kind.pattern(), pid, errno)).or_default() += count(record);
                }
                None if here.iter().any(|fault| follows(record, fault)) => {}
                None => {
                    verdict.other += count(record);
                    verdict.problem(format!("nothing explains this, planted here: {here:?}\n  {record}"));
                }
            }
        }
        verdict.compare(&planted, &told);
        verdict.totals(records);
        verdict
    }

    /// The closing line.
    pub(super) fn summary(&self) -> String {
        let Self { connections, planted, told, other, lost, records_a_connection, .. } = self;
        format!(
            "nginx: {connections} connections, {planted} faults planted, {told} told, {other} else, {lost} lost, \
             {records_a_connection:.1} records a connection"
        )
    }

    /// What has to be told in all.
    fn sums(&mut self, faults: &[Fault], witness: &Testimony) -> Sums {
        let mut sums = Sums::new();
        for fault in faults {
            let Party::Actor(pid, _) = fault.victim else { continue };
            let errno = fault.errno.map_or_else(|| "none".to_owned(), |errno| format!("{errno:?}"));
            *sums.entry((fault.kind.pattern(), pid, errno)).or_default() += 1;
        }
        let at_nginx: Vec<&Fault> = faults.iter().filter(|fault| fault.victim == Party::Worker).collect();
        let noticed: u64 = witness.failed.values().sum();
        if noticed != at_nginx.len() as u64 {
            self.problem(format!("nginx noticed {:?}, planted were {}", witness.failed, at_nginx.len()));
        }
        if let Some(fault) = at_nginx.first() {
            let failed = witness.failed.iter();
            sums.extend(
                failed.map(|((pid, errno), count)| ((fault.kind.pattern(), *pid, errno.clone()), *count)),
            );
        }
        sums
    }

    fn compare(&mut self, planted: &Sums, told: &Sums) {
        for (what, expected) in planted {
            let found = told.get(what).copied().unwrap_or_default();
            self.told += found.min(*expected);
            if found != *expected {
                self.problem(format!("{what:?}: {expected} were planted and {found} told"));
            }
        }
        for (what, found) in told.iter().filter(|(what, _)| !planted.contains_key(*what)) {
            self.problem(format!("{what:?}: none was planted and {found} told"));
        }
    }

    /// What the watcher says of itself.
    #[expect(clippy::cast_precision_loss, reason = "millions at most")]
    fn totals(&mut self, records: &[Value]) {
        for (index, record) in records.iter().enumerate() {
            // `start` was the first.
            if record["seq"] != index + 2 {
                self.problem(format!("record {} has another number: {record}", index + 2));
            }
        }
        let Some(stop) = records.last() else { return };
        let sum = |what: &str| {
            stop[what].as_object().map(|causes| causes.values().filter_map(Value::as_u64).sum::<u64>())
        };
        self.lost = sum("lost").unwrap_or(u64::MAX);
        let kept =
            [self.lost, sum("dropped").unwrap_or(u64::MAX), stop["malformed"].as_u64().unwrap_or(u64::MAX)];
        if kept != [0; 3] {
            self.problem(format!("lost, dropped, malformed are {kept:?}: {stop}"));
        }
        let delivered = stop["delivered"].as_u64().unwrap_or(u64::MAX) as f64;
        self.records_a_connection = delivered / self.connections as f64;
        if self.records_a_connection > RECORDS {
            self.problem(format!("more than {RECORDS} records a connection: {stop}"));
        }
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(text);
        }
    }
}

/// Where a finding is not what happened.
fn differences(record: &Value, fault: &Fault, witness: &Testimony, namespace: u32) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, told: &Value, holds: bool, is: String| {
        if !holds {
            wrong.push(format!("{what} is told as {told}, was {is}"));
        }
    };
    check("the severity", &record["severity"], record["severity"] == "warning", "warning".to_owned());
    let netns = &record["connection"]["netns"];
    check("the namespace", netns, *netns == namespace, namespace.to_string());
    check("what is missing", &record["missing"], record["complete"] == true, "nothing".to_owned());
    for (what, process, party, client) in [
        ("the process", &record["process"], &fault.victim, fault.remote),
        ("the other process", &record["peer"]["process"], &fault.peer, fault.local),
    ] {
        let (holds, is) = match party {
            Party::Nobody => (process.is_null(), "nobody".to_owned()),
            Party::Actor(own, comm) => {
                (pid(process) == Some(*own) && process["comm"] == **comm, format!("{comm}[{own}]"))
            }
            Party::Worker => {
                let served = witness.served.get(&client).filter(|_| fault.kind == Kind::LateWrite);
                let pids = served.map_or(&witness.workers[..], std::slice::from_ref);
                let known = pid(process).is_some_and(|pid| pids.contains(&pid));
                (known && process["comm"] == "nginx", format!("nginx{pids:?}"))
            }
        };
        check(what, process, holds, is);
    }
    wrong
}

/// Whether a finding tells what the fault led to.
fn follows(record: &Value, fault: &Fault) -> bool {
    let own = match fault.victim {
        Party::Actor(own, _) => pid(&record["process"]) == Some(own),
        _ => true,
    };
    own && fault.kind.allowed().iter().any(|id| record["pattern"] == **id)
}

fn pid(process: &Value) -> Option<u32> {
    process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

fn count(record: &Value) -> u64 {
    record["count"].as_u64().unwrap_or_default()
}

/// The ends of the connection that a finding names; unspecified ones when it names none.
fn ends(record: &Value) -> (SocketAddr, SocketAddr) {
    let end = |which: &str| {
        let end = &record["connection"][which];
        let host = end["address"].as_str().and_then(|host| host.parse::<std::net::IpAddr>().ok());
        let port = end["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        SocketAddr::new(host.unwrap_or([0, 0, 0, 0].into()), port.unwrap_or_default())
    };
    (end("local"), end("remote"))
}
