//! Whose connection was it? A mixed load in which descriptors are inherited, passed on and shared, among bystanders: the
//! processes that a C program says use its ends are those that must be told, and nobody else may be.

#[path = "live/support.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

#[path = "owners/load.rs"]
mod load;

#[path = "owners/group.rs"]
mod group;

use group::Group;
use load::{End, Label, Load, Ports};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
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
    assert_eq!(
        stop["lost"],
        serde_json::json!({"no_distance": 0, "no_storage": 0, "recursion": 0, "ring_full": 0}),
        "{stop}"
    );
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

#[test]
fn a_container_that_is_gone_is_told_and_what_is_outside_is_not() {
    let test = "a_container_that_is_gone_is_told_and_what_is_outside_is_not";
    if skipped(test) {
        return;
    }
    let Some(outer) = Group::new(&format!("tcptrace-{}.slice", std::process::id())) else {
        println!("SKIP {test}: no cgroup of version 2 can be made here");
        return;
    };
    let id = "5eed".repeat(16);
    let namespace = Namespace::new();
    let mut watch = Watch::start(namespace.inode(), &["--cgroup", outer.path()]);
    // Made under the eyes of the watch, and gone before it has told.
    let inner = outer.inner(&format!("docker-{id}.scope"));
    let own_numbers = || unshare(CloneFlags::CLONE_NEWPID).expect("root may");
    let inside = Load::refused(&namespace, own_numbers);
    inner.take(inside.pid());
    let outside = Load::refused(&namespace, || {});
    let pid = inside.pid();
    inside.run();
    outside.run();
    drop(inner);
    let (findings, stop) = watch.stop();
    assert_eq!(stop["malformed"], 0, "{stop}");
    let [finding] = &findings[..] else { panic!("one is inside: {findings:#?}") };
    assert_eq!(finding["pattern"], "connection_refused", "{finding}");
    let process = &finding["process"];
    assert_eq!((&process["pid"], &process["ns_pid"]), (&json!(pid), &json!(1)), "{process}");
    assert_eq!(process["container"], json!({ "id": id, "runtime": "docker" }), "{process}");
    assert!(
        process["cgroup"].as_str().is_some_and(|path| path.ends_with(&format!(".slice/docker-{id}.scope")))
    );
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
