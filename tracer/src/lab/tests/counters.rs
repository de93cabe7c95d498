//! The kernel's own counters say the same: each case sends the resets it is about, and no other.

use std::fs;
use std::sync::Arc;

use super::{routed_world, skipped, world};
use crate::lab::case::{decoys, patterns};
use crate::lab::namespace::Namespace;
use crate::lab::path::{Family, Medium, Side};

/// What RFC 4022 counts and resets change.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counters {
    /// Attempts to connect that the other end or the kernel ended.
    attempt_fails: u64,
    /// Connections that ended from `ESTABLISHED` or `CLOSE_WAIT` without an orderly close, at either end.
    estab_resets: u64,
    /// Segments sent with RST.
    out_rsts: u64,
}

impl Counters {
    fn of(namespace: &Namespace) -> Self {
        let text =
            namespace.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?)).expect("counters");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let pairs: Vec<_> = names.split(' ').zip(values.split(' ')).collect();
        let get = |wanted: &str| {
            let (_, value) = pairs.iter().find(|(name, _)| *name == wanted).expect("the counter");
            value.parse().expect("a number")
        };
        Self {
            attempt_fails: get("AttemptFails"),
            estab_resets: get("EstabResets"),
            out_rsts: get("OutRsts"),
        }
    }
}

/// On the client's host and on the server's: failed attempts, resets of connections, resets sent.
const INCIDENTS: &[(&str, [u64; 3], [u64; 3])] = &[
    ("accept_queue_reset/accepted_later", [0, 1, 1], [0, 1, 0]),
    ("connection_refused/bound_port", [1, 0, 0], [0, 0, 1]),
    ("connection_refused/closed_port", [1, 0, 0], [0, 0, 1]),
    ("connection_reset/client", [0, 1, 0], [0, 1, 1]),
    ("connection_reset/forged", [0, 1, 0], [0, 0, 0]),
    ("connection_reset/server", [0, 1, 1], [0, 1, 0]),
    ("fin_wait2_write_reset/client_closes_first", [0, 0, 1], [0, 1, 0]),
    ("fin_wait2_write_reset/server_closes_first", [0, 1, 0], [0, 0, 1]),
    ("fin_wait2_write_reset/told_by_so_error", [0, 1, 0], [0, 0, 1]),
    // The client's own abort of a connection that the server has left.
    ("decoy/reset_of_orphan", [0, 1, 1], [0, 0, 0]),
];

#[test]
fn each_case_resets_what_it_says_and_nothing_else() {
    if skipped("each_case_resets_what_it_says_and_nothing_else") {
        return;
    }
    for case in patterns().chain(decoys()) {
        for path in case.paths().filter(|path| path.family == Family::V4 && path.medium != Medium::Loopback) {
            let world = if path.medium == Medium::Routed { routed_world() } else { world() };
            let staged = case.stage(Arc::clone(&world), path).expect("the case");
            let counters = || [Side::A, Side::B].map(|side| Counters::of(world.namespace(side)));
            let name = case.name();
            let incident = INCIDENTS.iter().find(|(incident, ..)| *incident == name);
            let (_, a, b) = incident.copied().unwrap_or_default();
            let wanted = [a, b].map(|[attempt_fails, estab_resets, out_rsts]| Counters {
                attempt_fails,
                estab_resets,
                out_rsts,
            });
            assert_eq!(counters(), wanted, "{}", staged.name);
            staged.release();
            // What the forged reset left open at the server ends with its process, and the client's host knows of
            // no such connection; everything else ends in order.
            if name != "connection_reset/forged" {
                assert_eq!(counters(), wanted, "{name} after its end");
            }
        }
    }
}
