//! Every case happens on every path, and ends as its pattern says.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::{program, skipped};
use crate::lab::case::{Case, Staged, decoys, patterns};
use crate::lab::path::Path;

/// What the application at the end of each pattern gets, by kernel-independent TCP rules.
const ERRNOS: &[(&str, Option<&str>)] = &[
    ("accept_queue_reset", Some("ECONNRESET")),
    ("close_wait_leak", None),
    ("connection_refused", Some("ECONNREFUSED")),
    ("connection_reset", Some("ECONNRESET")),
    ("fin_wait2_write_reset", Some("EPIPE")),
    ("peer_stuck_in_close_wait", None),
];

/// Stages all at once, each in a world of its own.
fn stage_all(cases: impl Iterator<Item = &'static Case>) -> Vec<(&'static Case, Path, Staged)> {
    let program = program();
    thread::scope(|scope| {
        let threads: Vec<_> = cases
            .flat_map(|case| case.paths().map(move |path| (case, path)))
            .map(|(case, path)| {
                let program = &program;
                scope.spawn(move || (case, path, case.stage_alone(program, path).expect("the case")))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    })
}

#[test]
fn every_pattern_gives_the_errno_it_claims_on_every_path() {
    if skipped("every_pattern_gives_the_errno_it_claims_on_every_path") {
        return;
    }
    let start = Instant::now();
    let staged = stage_all(patterns());
    let took = start.elapsed();
    let errnos: HashMap<_, _> = ERRNOS.iter().copied().collect();
    for (case, path, staged) in &staged {
        let expected = staged.expected.as_ref().expect("a pattern is expected");
        assert_eq!(Some(expected.pattern), case.pattern);
        assert_eq!(expected.errno.as_deref(), errnos[expected.pattern], "{}", staged.name);
        assert_eq!(expected.port, staged.port);
        assert!(staged.world().inodes().contains(&expected.netns), "{path}");
        for pid in [expected.local_pid, expected.peer_pid].into_iter().flatten() {
            assert!(staged.pids.contains(&pid), "{}: {pid} took no part", staged.name);
        }
        assert_ne!(expected.local_pid, expected.peer_pid);
    }
    let told: Vec<_> = staged.iter().filter_map(|(case, ..)| case.pattern).collect();
    assert!(ERRNOS.iter().all(|(pattern, _)| told.contains(pattern)));
    assert!(took < Duration::from_secs(10), "all cases together took {took:?}");
}

#[test]
fn every_decoy_can_be_played_on_every_path() {
    if skipped("every_decoy_can_be_played_on_every_path") {
        return;
    }
    let staged = stage_all(decoys());
    assert!(staged.iter().all(|(_, _, staged)| staged.expected.is_none()));
    assert!(staged.iter().all(|(_, _, staged)| staged.port != 0 && !staged.pids.is_empty()));
}

#[test]
fn names_tell_cases_apart() {
    let mut names: Vec<_> = patterns().chain(decoys()).map(Case::name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
