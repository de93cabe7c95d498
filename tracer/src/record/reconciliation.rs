//! What the kernel itself counted, set against what was seen.

use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Namespaces of which one record tells at most: so many fit into a line beside all else.
const MOST: usize = 24;

/// The kernel's own counters of TCP, namespace by namespace, since the run began.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ReconciliationRecord {
    /// The sum over all namespaces, those that are left out below as well.
    pub counters: BTreeMap<&'static str, CounterRecord>,
    /// Namespaces in which something was counted or seen, those with the most unexplained first.
    pub namespaces: Vec<NamespaceRecord>,
    /// Namespaces in which nothing was.
    pub quiet: usize,
    /// Namespaces left out to keep the line short; those with something unexplained are the last to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    /// Namespaces whose counters could not be read: something was seen there, but they went before they were found or
    /// no process and no mount holds them; or there are too many.
    pub hidden: usize,
}

/// One namespace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NamespaceRecord {
    /// Its inode number.
    pub netns: u32,
    /// It was found during the run, and is taken to have begun at zero.
    pub appeared: bool,
    /// No process and no mount holds it any more; these are its last counts.
    pub gone: bool,
    /// The counters that events explain, by the kernel's names.
    pub counters: BTreeMap<&'static str, CounterRecord>,
    /// Counters of what makes no event: nothing but they tells of it.
    pub counter_only: BTreeMap<&'static str, u64>,
}

/// One counter, by how much it has risen.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct CounterRecord {
    /// As the kernel counts.
    pub counted: u64,
    /// How many such events were seen. It may be ahead of `counted` by events that are seen before they are counted,
    /// and by IPv6 resets that found no route.
    pub explained: u64,
    /// How many were counted and not seen.
    pub unexplained: u64,
    /// At `AttemptFails`: the part of `explained` that made no event and is known by `EmbryonicRsts` alone, connection
    /// requests that a RST or a second SYN ended.
    #[serde(rename = "by_embryonic_rsts", skip_serializing_if = "Option::is_none")]
    pub by_embryonic: Option<u64>,
}

impl ReconciliationRecord {
    /// Of all these namespaces and their sum, `unread` more not being known of any longer.
    pub fn new(
        counters: BTreeMap<&'static str, CounterRecord>,
        namespaces: Vec<NamespaceRecord>,
        unread: usize,
        hidden: usize,
    ) -> Self {
        let all = namespaces.len();
        let mut namespaces: Vec<_> = namespaces.into_iter().filter(|one| !one.is_quiet()).collect();
        let quiet = all - namespaces.len();
        namespaces.sort_by_key(|one| std::cmp::Reverse((one.unexplained(), one.counted())));
        let mut record = Self { counters, namespaces, quiet, cut: (unread > 0).then_some(unread), hidden };
        record.trim(MOST);
        record
    }

    /// Keeps that many namespaces.
    pub(super) fn trim(&mut self, entries: usize) {
        let over = self.namespaces.len().saturating_sub(entries);
        if over > 0 {
            self.namespaces.truncate(entries);
            self.cut = Some(self.cut.unwrap_or(0) + over);
        }
    }
}

impl NamespaceRecord {
    fn sum(&self, of: fn(&CounterRecord) -> u64) -> u64 {
        self.counters.values().map(of).fold(0, u64::saturating_add)
    }

    /// How much is unexplained in all.
    fn unexplained(&self) -> u64 {
        self.sum(|counter| counter.unexplained)
    }

    fn counted(&self) -> u64 {
        self.sum(|counter| counter.counted)
    }

    fn is_quiet(&self) -> bool {
        self.counted() == 0
            && self.sum(|counter| counter.explained) == 0
            && self.counter_only.values().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{CounterRecord, MOST, NamespaceRecord, ReconciliationRecord};
    use crate::record::{
        LONGEST_SUMMARY, line,
        run::{Counts, Stats},
        sample,
    };
    use serde_json::Value;
    use std::collections::BTreeMap;
    use tracer_common::reconcile::KernelCounter;

    fn with(netns: u32, counted: u64, unexplained: u64) -> NamespaceRecord {
        let explained = counted - unexplained;
        let resets = CounterRecord { counted, explained, unexplained, by_embryonic: None };
        let only = BTreeMap::from([("ListenDrops", 0)]);
        NamespaceRecord {
            counters: [("OutRsts", resets)].into(),
            counter_only: only,
            ..sample::namespace(netns)
        }
    }

    #[test]
    fn what_is_unexplained_comes_first_and_quiet_namespaces_are_a_number() {
        let mut dropping = with(5, 0, 0);
        dropping.counter_only.insert("ListenDrops", 1);
        let all = vec![with(1, 0, 0), with(2, 9, 0), with(3, 5, 1), with(4, 4, 4), dropping];
        let record = ReconciliationRecord::new([].into(), all, 0, 2);
        let order: Vec<u32> = record.namespaces.iter().map(|one| one.netns).collect();
        assert_eq!(order, [4, 3, 2, 5]);
        assert_eq!((record.quiet, record.cut, record.hidden), (1, None, 2));
    }

    #[test]
    fn of_many_namespaces_the_line_stays_short() {
        let most = CounterRecord {
            counted: u64::MAX,
            explained: u64::MAX,
            unexplained: u64::MAX,
            by_embryonic: Some(u64::MAX),
        };
        let counters: BTreeMap<_, _> =
            KernelCounter::ALL.iter().map(|counter| (counter.name(), most)).collect();
        let full = |netns| NamespaceRecord {
            counters: counters.clone(),
            counter_only: ["ListenOverflows", "ListenDrops", "EmbryonicRsts"]
                .map(|name| (name, u64::MAX))
                .into(),
            ..sample::namespace(netns)
        };
        let record = ReconciliationRecord::new(counters.clone(), (0..2_000).map(full).collect(), 7, 0);
        assert_eq!((record.namespaces.len(), record.cut), (MOST, Some(2_000 - MOST + 7)));
        let loss = sample::counts().losses[0].clone();
        let losses = vec![loss; 1_000];
        let counts = Counts { reconciliation: Some(record), losses, ..sample::counts() };
        let line = line(&Stats { common: sample::stamp().common("stats", 1, sample::AT), counts });
        let line = line.expect("a line");
        let value: Value = serde_json::from_slice(&line).expect("JSON");
        let kept = value["reconciliation"]["namespaces"].as_array().map_or(0, Vec::len);
        assert!(line.len() <= LONGEST_SUMMARY, "{}", line.len());
        assert_eq!(value["reconciliation"]["cut"], 2_007 - kept);
    }
}
