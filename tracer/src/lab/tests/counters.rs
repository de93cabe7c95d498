//! The kernel's own counters say the same: each case sends the resets it is about, and no other.

use std::fs;
use std::sync::Arc;
use std::thread;

use super::{routed_world, skipped, world};
use crate::lab::case::{Case, decoys, patterns};
use crate::lab::namespace::Namespace;
use crate::lab::path::{Family, Medium, Path, Side};

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
    // The server's host counts what it had half-open; the RST came after the client had given up.
    ("connect_abandoned/answered_late", [0, 0, 1], [1, 0, 0]),
    ("connect_timeout/dropped", [1, 0, 0], [0, 0, 0]),
    ("connect_timeout/nonblocking", [1, 0, 0], [0, 0, 0]),
    ("connection_refused/bound_port", [1, 0, 0], [0, 0, 1]),
    ("connection_refused/closed_port", [1, 0, 0], [0, 0, 1]),
    ("connection_refused/nonblocking", [1, 0, 0], [0, 0, 1]),
    ("connection_refused/own_firewall", [1, 0, 0], [0, 0, 0]),
    ("broken_pipe/after_reset", [0, 1, 0], [0, 1, 1]),
    ("broken_pipe/ignored", [0, 1, 0], [0, 1, 1]),
    ("broken_pipe/sendfile", [0, 1, 0], [0, 1, 1]),
    ("broken_pipe/splice", [0, 1, 0], [0, 1, 1]),
    ("close_with_unread_data/client_closes", [0, 1, 1], [0, 1, 0]),
    ("close_with_unread_data/server_closes", [0, 1, 0], [0, 1, 1]),
    ("close_with_unread_data/through_dnat", [0, 1, 0], [0, 1, 1]),
    // The other host counts the connection that it was told to forget.
    ("connection_reset/forged", [0, 1, 0], [0, 1, 0]),
    ("forged_reset/other_distance", [0, 1, 0], [0, 1, 0]),
    ("forged_reset/other_distance_to_server", [0, 1, 0], [0, 1, 0]),
    // RSTs of the packet filter are not counted.
    ("forged_reset/own_firewall", [0, 1, 0], [0, 0, 0]),
    ("forged_reset/peer_open", [0, 1, 0], [0, 0, 0]),
    ("connect_retry_aborted/refused", [1, 0, 0], [0, 0, 1]),
    ("linger2_abort/client_closes", [0, 0, 1], [0, 1, 0]),
    ("linger2_abort/server_closes", [0, 1, 0], [0, 0, 1]),
    ("linger2_abort/sending_had_ended", [0, 1, 0], [0, 0, 1]),
    ("linger2_abort/through_dnat", [0, 1, 0], [0, 0, 1]),
    ("linger_zero_abort/client_waits", [0, 1, 0], [0, 1, 1]),
    ("linger_zero_abort/server_waits", [0, 1, 1], [0, 1, 0]),
    ("linger_zero_abort/through_dnat", [0, 1, 0], [0, 1, 1]),
    ("listener_closed_with_queue/three_clients", [0, 3, 0], [0, 3, 3]),
    ("local_unreachable/own_firewall", [1, 0, 0], [0, 0, 0]),
    ("local_unreachable/silent_neighbour", [1, 0, 0], [0, 0, 0]),
    ("process_died/crashed", [0, 1, 0], [0, 1, 1]),
    ("sigpipe_killed/second_write", [0, 1, 1], [0, 1, 0]),
    ("sigpipe_killed/sendfile", [0, 1, 1], [0, 1, 0]),
    ("fin_wait2_write_reset/client_closes_first", [0, 0, 1], [0, 1, 0]),
    ("fin_wait2_write_reset/server_closes_first", [0, 1, 0], [0, 0, 1]),
    ("fin_wait2_write_reset/told_by_so_error", [0, 1, 0], [0, 0, 1]),
    // The server's host counts the connection that it was told to forget.
    ("half_open_suspect/waits", [0, 0, 0], [0, 1, 0]),
    ("embryonic_reset/forged_source", [0, 0, 1], [1, 0, 0]),
    ("icmp_unreachable/host", [1, 0, 0], [0, 0, 0]),
    ("icmp_unreachable/network", [1, 0, 0], [0, 0, 0]),
    ("icmp_unreachable/port", [1, 0, 0], [0, 0, 0]),
    ("icmp_unreachable/prohibited", [1, 0, 0], [0, 0, 0]),
    ("icmp_unreachable/protocol", [1, 0, 0], [0, 0, 0]),
    // The end of probing is told to the silent peer, and swallowed on the way.
    ("keepalive_timeout/idle", [0, 1, 1], [0, 0, 0]),
    ("peer_lost_state/gone", [0, 1, 0], [0, 1, 1]),
    ("peer_lost_state/restarted", [0, 1, 0], [0, 1, 1]),
    ("retransmission_timeout/silence", [0, 1, 0], [0, 0, 0]),
    ("shutdown_self_reset/client_shuts_down", [0, 0, 1], [0, 1, 0]),
    ("shutdown_self_reset/server_shuts_down", [0, 1, 0], [0, 0, 1]),
    ("shutdown_self_reset/told_by_so_error", [0, 1, 0], [0, 0, 1]),
    ("socket_destroyed/client", [0, 1, 1], [0, 1, 0]),
    ("socket_destroyed/server", [0, 1, 0], [0, 1, 1]),
    // The client's host counts the connection that it was told to forget.
    ("stale_connection_killed/same_port", [0, 1, 1], [0, 1, 0]),
    ("time_wait_collision/lower_sequence", [0, 0, 1], [0, 0, 0]),
    ("syn_queue_overflow/dropping", [1, 0, 0], [0, 0, 0]),
    ("synack_lost/way_back_broken", [1, 0, 0], [0, 0, 0]),
    ("user_timeout/silence", [0, 1, 0], [0, 0, 0]),
    ("zero_window_stall/death", [0, 1, 0], [0, 0, 0]),
    // The client's own abort of a connection that the server has left.
    ("decoy/reset_of_orphan", [0, 1, 1], [0, 0, 0]),
];

#[test]
fn each_case_resets_what_it_says_and_nothing_else() {
    if skipped("each_case_resets_what_it_says_and_nothing_else") {
        return;
    }
    thread::scope(|scope| {
        for case in patterns().chain(decoys()) {
            for path in
                case.paths().filter(|path| path.family == Family::V4 && path.medium != Medium::Loopback)
            {
                scope.spawn(move || check(case, path));
            }
        }
    });
}

/// Plays the case in a world of its own, whose counters are then about nothing else.
pub(super) fn check(case: &Case, path: Path) {
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
    // What the forged reset left open at the server ends with its process, and the client's host knows of no such
    // connection, as the host of a peer that went without a word; the receiver of a stall ends with unread data, and
    // a listener with connections in its queue; everything else ends in order.
    let untidy = [
        "accept_queue_fin/never_accepted",
        "accept_queue_overflow/never_accepted",
        "forged_reset/own_firewall",
        "forged_reset/peer_open",
        "half_open_suspect/waits",
        "zero_window_stall/alive",
        "zero_window_stall/death",
    ];
    if !untidy.contains(&name.as_str()) {
        assert_eq!(counters(), wanted, "{name} after its end");
    }
}
