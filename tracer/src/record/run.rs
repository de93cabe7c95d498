//! The records about the run itself: `start`, `stats`, `stop`.

use super::{
    Common,
    fit::{LONGEST_SUMMARY, Shrink},
    reconciliation::ReconciliationRecord,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything is attached, and what existed was looked at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Start {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Version of tcptrace.
    pub version: &'static str,
    /// Release of the kernel.
    pub kernel: String,
    /// How most probes are attached.
    pub backend: &'static str,
    /// Each probe, and how it is attached or why not.
    pub probes: Vec<Probe>,
    /// The filters in force, as flags.
    pub filters: Vec<String>,
    /// Every threshold.
    pub thresholds: BTreeMap<&'static str, String>,
    /// Bytes of the ring between kernel and daemon.
    pub ring_size: u32,
    /// Sockets that are older than the tracer.
    pub scanned: u64,
}

/// A probe.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// The kernel's event it takes, or the functions it is at.
    pub point: String,
    /// `tracepoint`, `iterator`, `fentry` (also at the end of functions), `kprobe` (likewise), or absent when it is not
    /// attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["tracepoint", "iterator", "fentry", "kprobe"]))]
    pub attached: Option<&'static str>,
    /// Why it is not attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What cannot be told without it, or is not seen where it is attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<&'static str>,
}

/// The counts so far.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Counts {
    /// Events that reached a probe and concern a TCP socket.
    pub seen: u64,
    /// Records the kernel handed over.
    pub delivered: u64,
    /// Records read.
    pub received: u64,
    /// Records lost, by cause.
    pub lost: BTreeMap<&'static str, u64>,
    /// Each loss by CPU, with its first and last time.
    pub losses: Vec<LossRecord>,
    /// How many losses were left out to keep the line short; their numbers are in `lost` all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses_cut: Option<usize>,
    /// Events left out on purpose in the kernel, by reason.
    pub suppressed: BTreeMap<&'static str, u64>,
    /// Records that could not be understood.
    pub malformed: u64,
    /// Findings by pattern, storms counted in full.
    pub findings: BTreeMap<&'static str, u64>,
    /// Entries in each table.
    pub tables: BTreeMap<&'static str, u64>,
    /// Entries that gave way, by table.
    pub evictions: BTreeMap<&'static str, u64>,
    /// Looks left out because there were too many in a second.
    pub looks_skipped: u64,
    /// Records dropped because an output was slow, by output.
    pub dropped: BTreeMap<&'static str, u64>,
    /// CPU time of the daemon in user space, seconds.
    pub user_cpu_seconds: f64,
    /// CPU time of the daemon in the kernel, seconds.
    pub system_cpu_seconds: f64,
    /// What the kernel itself counted against what was seen; absent where a filter leaves some connections out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciliation: Option<ReconciliationRecord>,
    /// Run time of each probe; absent unless it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<BTreeMap<&'static str, ProbeTime>>,
}

/// A loss.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LossRecord {
    /// Its cause.
    pub cause: &'static str,
    /// The CPU.
    pub cpu: u32,
    /// How many.
    pub count: u64,
    /// Time of the first.
    pub first_time: String,
    /// Time of the last.
    pub last_time: String,
}

/// What a probe costs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProbeTime {
    /// How often it ran.
    pub runs: u64,
    /// Nanoseconds in all.
    pub ns: u64,
}

/// The counts, every 10 s and at the end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Stats {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The end of the run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Stop {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Why: `signal`, `duration`, `max_findings`, `command` or `output_closed`.
    #[schemars(extend("enum" = ["signal", "duration", "max_findings", "command", "output_closed"]))]
    pub why: &'static str,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Counts {
    fn cut(&mut self, keep: usize) {
        self.losses_cut = Some(self.losses.len() - keep);
        self.losses.truncate(keep);
    }

    fn trim(&mut self, entries: usize) {
        if let Some(reconciliation) = &mut self.reconciliation {
            reconciliation.trim(entries);
        }
    }
}

impl Shrink for Start {
    const LONGEST: usize = LONGEST_SUMMARY;

    fn strings(&mut self) -> Vec<&mut String> {
        let reasons = self.probes.iter_mut().filter_map(|probe| probe.why_not.as_mut());
        reasons.chain([&mut self.common.host, &mut self.kernel]).chain(&mut self.filters).collect()
    }

    fn trim(&mut self, entries: usize) {
        self.filters.truncate(entries);
        self.filters.push("…".to_owned());
    }
}

impl Shrink for Stats {
    const LONGEST: usize = LONGEST_SUMMARY;

    fn length(&self) -> usize {
        self.counts.losses.len()
    }

    fn cut(&mut self, keep: usize) {
        self.counts.cut(keep);
    }

    fn strings(&mut self) -> Vec<&mut String> {
        vec![&mut self.common.host]
    }

    fn trim(&mut self, entries: usize) {
        self.counts.trim(entries);
    }
}

impl Shrink for Stop {
    const LONGEST: usize = LONGEST_SUMMARY;

    fn length(&self) -> usize {
        self.counts.losses.len()
    }

    fn cut(&mut self, keep: usize) {
        self.counts.cut(keep);
    }

    fn strings(&mut self) -> Vec<&mut String> {
        vec![&mut self.common.host]
    }

    fn trim(&mut self, entries: usize) {
        self.counts.trim(entries);
    }
}
