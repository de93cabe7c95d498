//! Whose connection was it? A mixed load in which descriptors are inherited, passed on and shared, among bystanders: the
//! processes that a C program says use its ends are those that must be told, and nobody else may be.

#[path = "live/support.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

#[path = "owners/load.rs"]
mod load;

use load::{End, Label, Load, Ports};
use serde_json::Value;
use std::collections::BTreeMap;
use support::{Namespace, Watch, skipped};

/// Connections of each of the eight kinds.
const EACH: usize = 45;

#[test]
fn owners_are_told_and_bystanders_are_not() {
    if skipped("owners_are_told_and_bystanders_are_not") {
        return;
    }
    let namespace = Namespace::new();
    let load = Load::start(&namespace, EACH);
    // Each connection is told by itself.
    let mut watch = Watch::start(namespace.inode(), &["--min-severity", "info", "--set", "storm.window=0s"]);
    let labels = load.run();
    let (findings, stop) = watch.stop();
    assert_eq!(stop["lost"], serde_json::json!({"no_storage": 0, "recursion": 0, "ring_full": 0}), "{stop}");
    assert_eq!(labels.len(), 8 * EACH);

    let mut told: BTreeMap<Ports, bool> = BTreeMap::new();
    let mut strangers = Vec::new();
    for finding in &findings {
        let Some((ports, end, label)) = subject(finding, &labels) else {
            panic!("of none of the connections: {finding}");
        };
        assert_eq!(finding["count"], 1, "{finding}");
        for (end, pid) in processes(finding, end) {
            let holders = &label.holders[&end];
            if !holders.contains(&pid) {
                strangers.push(format!("{} {end:?}: {pid}, not {holders:?}: {finding}", label.kind));
            }
            let right = end == label.victim() && pid == holders[0];
            *told.entry(ports).or_default() |= right && finding["process"]["pid"] == pid;
        }
    }
    let excerpt = &strangers[..strangers.len().min(5)];
    assert!(strangers.is_empty(), "{} strangers:\n{}", strangers.len(), excerpt.join("\n"));
    let missed: Vec<_> =
        labels.iter().filter(|(ports, _)| !told.get(*ports).copied().unwrap_or_default()).collect();
    println!(
        "{} of {} connections told of their owner; {} findings",
        labels.len() - missed.len(),
        labels.len(),
        findings.len()
    );
    assert!(missed.len() * 100 <= labels.len(), "{missed:#?}\n{findings:#?}");
}

/// The connection a finding is about, and at which of its ends it is.
fn subject<'a>(finding: &Value, labels: &'a BTreeMap<Ports, Label>) -> Option<(Ports, End, &'a Label)> {
    let port = |end: &str| finding["connection"][end]["port"].as_u64();
    let (local, remote) = (port("local")?, port("remote")?);
    [((local, remote), End::Client), ((remote, local), End::Server)]
        .into_iter()
        .find_map(|(ports, end)| Some((ports, end, labels.get(&ports)?)))
}

/// Every process that a finding names, and the end it is said to be at.
fn processes(finding: &Value, local: End) -> Vec<(End, u64)> {
    let steps =
        finding["timeline"].as_array().expect("a timeline").iter().map(|step| {
            (if step["end"] == "local" { local } else { local.other() }, step["by"]["pid"].as_u64())
        });
    let owners = [
        (local, finding["process"]["pid"].as_u64()),
        (local.other(), finding["peer"]["process"]["pid"].as_u64()),
    ];
    owners.into_iter().chain(steps).filter_map(|(end, pid)| Some((end, pid?))).collect()
}
