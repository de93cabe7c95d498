//! Every case happens on every path, and ends as its pattern says.

use std::thread;

use super::{program, skipped};
use crate::lab::case::{Case, Staged, decoys, patterns};
use crate::lab::path::{Family, Path};

/// What the application at the end of each pattern gets, by kernel-independent TCP rules.
const ERRNOS: &[(&str, Option<&str>)] = &[
    ("accept_fd_exhausted", Some("EMFILE")),
    ("accept_queue_fin", None),
    ("accept_queue_overflow", None),
    ("accept_queue_reset", Some("ECONNRESET")),
    ("close_wait_leak", None),
    ("connect_abandoned", None),
    ("connect_retry_aborted", Some("ECONNABORTED")),
    ("connect_timeout", Some("ETIMEDOUT")),
    ("connection_refused", Some("ECONNREFUSED")),
    ("connection_reset", Some("ECONNRESET")),
    ("embryonic_reset", None),
    ("fin_wait2_write_reset", Some("EPIPE")),
    ("forged_reset", Some("ECONNRESET")),
    ("half_open_suspect", None),
    ("linger_close_timeout", None),
    ("pmtu_blackhole", None),
    ("retransmission_storm", None),
    ("simultaneous_close", None),
    ("stuck_closing", None),
    ("keepalive_timeout", Some("ETIMEDOUT")),
    ("peer_lost_state", Some("ECONNRESET")),
    ("peer_stuck_in_close_wait", None),
    ("port_exhausted", Some("EADDRNOTAVAIL")),
    ("premature_eof", None),
    ("reset_rejected", None),
    ("retransmission_timeout", Some("ETIMEDOUT")),
    ("shutdown_self_reset", Some("ECONNRESET")),
    ("socket_destroyed", Some("ECONNABORTED")),
    ("stale_connection_killed", Some("ECONNRESET")),
    ("time_wait_collision", None),
    ("syn_queue_overflow", None),
    ("synack_lost", None),
    ("user_timeout", Some("ETIMEDOUT")),
    ("linger2_abort", Some("EPIPE")),
    ("linger_zero_abort", Some("ECONNRESET")),
    ("close_with_unread_data", Some("ECONNRESET")),
    ("listener_closed_with_queue", None),
    ("process_died", None),
    ("broken_pipe", Some("EPIPE")),
    ("sigpipe_killed", Some("EPIPE")),
    ("zero_window_stall", Some("ETIMEDOUT")),
];

/// What `connect` gives for each notice of a router, over IPv4 and over IPv6, as the kernel maps them:
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/icmp.c> and
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/icmp.c>.
const NOTICES: &[(&str, &str, Option<&str>)] = &[
    ("host", "EHOSTUNREACH", Some("EHOSTUNREACH")),
    ("network", "ENETUNREACH", Some("ENETUNREACH")),
    ("port", "ECONNREFUSED", Some("ECONNREFUSED")),
    ("prohibited", "EHOSTUNREACH", Some("EACCES")),
    ("protocol", "ENOPROTOOPT", None),
];

/// What differs between the variants of a pattern.
const VARIANTS: &[(&str, Option<&str>)] = &[
    ("local_unreachable/blackhole_route", Some("EINVAL")),
    ("local_unreachable/no_route", Some("ENETUNREACH")),
    ("local_unreachable/own_firewall", Some("ETIMEDOUT")),
    ("local_unreachable/prohibit_route", Some("EACCES")),
    ("local_unreachable/silent_neighbour", Some("EHOSTUNREACH")),
    ("local_unreachable/unreachable_route", Some("EHOSTUNREACH")),
    ("soft_error/survives", None),
    ("soft_error/taken_by_so_error", Some("EHOSTUNREACH")),
    ("zero_window_stall/alive", None),
    ("process_died/crashed", Some("ECONNRESET")),
    ("socket_option_error/bad_time", Some("EDOM")),
    ("socket_option_error/bad_value", Some("EINVAL")),
    ("socket_option_error/closed_descriptor", Some("EBADF")),
    ("socket_option_error/get_unknown_level", Some("EOPNOTSUPP")),
    ("socket_option_error/no_such_congestion", Some("ENOENT")),
    ("socket_option_error/not_a_socket", Some("ENOTSOCK")),
    ("socket_option_error/set_read_only", Some("ENOPROTOOPT")),
    ("socket_option_error/too_many_memberships", Some("ENOBUFS")),
    ("socket_option_error/unknown_option", Some("ENOPROTOOPT")),
];

/// Where the family decides: what an IPv6 socket gives instead.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/ipv6_sockglue.c>
const IPV6_SOCKETS: &[(&str, Option<&str>)] =
    &[("socket_option_error/get_unknown_level", Some("ENOPROTOOPT"))];

/// The errno that this case has to give on a path of this family.
fn errno(case: &Case, family: Family) -> Option<&'static str> {
    if case.pattern == Some("icmp_unreachable") {
        let (_, v4, v6) = NOTICES.iter().find(|(variant, ..)| *variant == case.variant).expect("the notice");
        return if family == Family::V6 { *v6 } else { Some(v4) };
    }
    let ipv6 = IPV6_SOCKETS.iter().filter(|_| family == Family::V6);
    if let Some((_, errno)) = ipv6.chain(VARIANTS).find(|(name, _)| *name == case.name()) {
        return *errno;
    }
    let (_, errno) = ERRNOS.iter().find(|(pattern, _)| Some(*pattern) == case.pattern).expect("the pattern");
    *errno
}

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
    let staged = stage_all(patterns());
    for (case, path, staged) in &staged {
        let expected = staged.expected.as_ref().expect("a pattern is expected");
        assert_eq!(Some(expected.pattern), case.pattern);
        assert_eq!(expected.errno.as_deref(), errno(case, path.family), "{}", staged.name);
        assert_eq!(expected.port, staged.port);
        assert!(staged.world().inodes().contains(&expected.netns), "{path}");
        for pid in [expected.local_pid, expected.peer_pid].into_iter().flatten() {
            assert!(staged.pids.contains(&pid), "{}: {pid} took no part", staged.name);
        }
        assert!(expected.local_pid.is_none() || expected.local_pid != expected.peer_pid);
    }
    let told: Vec<_> = staged.iter().filter_map(|(case, ..)| case.pattern).collect();
    assert!(ERRNOS.iter().all(|(pattern, _)| told.contains(pattern)));
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
