//! The kernel's own counters against what the watcher saw: whether anything went wrong that it knows nothing of.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _};
use tracer_common::reconcile::KernelCounter;

/// Of what the kernel counts, so much has to be explained by what was seen.
pub(crate) const EXPLAINED: f64 = 0.99;

const HEAD: &str = "\
| counter | counted | explained | not explained |
|---|---:|---:|---:|
";

/// By how much one has risen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counter {
    counted: u64,
    explained: u64,
    unexplained: u64,
}

/// All of them, over all runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    by_name: BTreeMap<&'static str, Counter>,
    /// Namespaces in which something was seen and whose counters could not be read.
    hidden: u64,
}

impl Counters {
    /// Adds those of a run's `stop` record, without those of namespaces that are not `ours`.
    ///
    /// # Errors
    /// When the record has none, which it has under a filter.
    pub(crate) fn add(&mut self, stop: &Value, ours: impl Fn(u64) -> bool) -> Result<()> {
        let all = stop.get("reconciliation").context("the watcher compared no counters")?;
        let listed = all["namespaces"].as_array().context("no namespaces")?;
        let strangers: Vec<&Value> =
            listed.iter().filter(|one| !one["netns"].as_u64().is_some_and(&ours)).collect();
        for counter in KernelCounter::ALL {
            let sum = self.by_name.entry(counter.name()).or_default();
            for (field, name) in [
                (&mut sum.counted, "counted"),
                (&mut sum.explained, "explained"),
                (&mut sum.unexplained, "unexplained"),
            ] {
                let of = |record: &Value| {
                    let value = &record["counters"][counter.name()][name];
                    value.as_u64().with_context(|| format!("no {name} of {}", counter.name()))
                };
                let theirs = strangers.iter().map(|one| of(one)).sum::<Result<u64>>()?;
                *field += of(all)? - theirs;
            }
        }
        self.hidden += all["hidden"].as_u64().context("nothing about hidden namespaces")?;
        Ok(())
    }

    /// The counters of which too little is explained.
    pub(crate) fn missed(&self) -> Vec<String> {
        let short = self.by_name.iter().filter(|(_, counter)| counter.share() < EXPLAINED);
        let mut missed: Vec<String> = short
            .map(|(name, counter)| {
                format!("{} of {} {name} are not explained", counter.unexplained, counter.counted)
            })
            .collect();
        if self.by_name.values().all(|counter| counter.counted == 0) {
            missed.push("the kernel counted nothing".to_owned());
        }
        missed
    }

    /// A row for each.
    pub(crate) fn table(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, Counter { counted, explained, unexplained }) in &self.by_name {
            let _ = writeln!(text, "| `{name}` | {counted} | {explained} | {unexplained} |");
        }
        if self.hidden > 0 {
            let _ = writeln!(text, "\nNamespaces whose counters could not be read: {}.", self.hidden);
        }
        text
    }
}

impl Counter {
    /// How much of it is explained; all of nothing.
    fn share(self) -> f64 {
        let exact = |number: u64| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        if self.counted == 0 { 1.0 } else { 1.0 - exact(self.unexplained) / exact(self.counted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A `stop` record of two namespaces, 1 and 2, of which the first has left so many resets unexplained.
    fn stop(unexplained: [u64; 2]) -> Value {
        let with = |counted: u64, unexplained: u64| {
            let of = |counter: &KernelCounter| {
                let (counted, unexplained) =
                    if *counter == KernelCounter::OutRsts { (counted, unexplained) } else { (0, 0) };
                let explained = counted - unexplained;
                let value = json!({"counted": counted, "explained": explained, "unexplained": unexplained});
                (counter.name().to_owned(), value)
            };
            KernelCounter::ALL.iter().map(of).collect::<serde_json::Map<_, _>>()
        };
        let namespaces: Vec<Value> = (1..=2)
            .zip(unexplained)
            .map(|(netns, unexplained)| json!({"netns": netns, "counters": with(100, unexplained)}))
            .collect();
        // A third is not listed.
        let all = with(400, unexplained.iter().sum());
        json!({"reconciliation": {"counters": all, "namespaces": namespaces, "hidden": 0}})
    }

    fn sum(stop: &Value, ours: impl Fn(u64) -> bool) -> Counters {
        let mut counters = Counters::default();
        counters.add(stop, ours).expect("a reconciliation");
        counters
    }

    #[test]
    fn what_is_not_explained_is_a_goal_missed() {
        assert_eq!(sum(&stop([2, 2]), |_| true).missed(), [""; 0]);
        let missed = sum(&stop([3, 2]), |_| true).missed();
        assert_eq!(missed, ["5 of 400 OutRsts are not explained"]);
    }

    #[test]
    fn the_rest_of_the_host_does_not_count() {
        let counters = sum(&stop([0, 90]), |netns| netns != 2);
        let counter = Counter { counted: 300, explained: 300, unexplained: 0 };
        assert_eq!(counters.by_name["OutRsts"], counter);
        assert!(counters.missed().is_empty());
        assert!(counters.table().contains("| `OutRsts` | 300 | 300 | 0 |\n"), "{}", counters.table());
    }

    #[test]
    fn nothing_compared_is_no_success() {
        assert!(Counters::default().add(&json!({"type": "stop"}), |_| true).is_err());
        assert!(!Counters::default().missed().is_empty());
    }

    #[test]
    fn rows_have_as_many_cells_as_the_head() {
        let text = sum(&stop([0, 0]), |_| true).table();
        let cells = |line: &str| line.matches('|').count();
        assert!(
            text.lines().all(|line| cells(line) == cells(text.lines().next().unwrap_or_default())),
            "{text}"
        );
    }
}
