//! What passes the filters, and what does not.

use super::{Filter, kernel_network};
use crate::{
    cli::{Cli, Command, value::Network},
    event::{Cookie, Event, Origin, Owner, Place, Source, Task, What},
    finding::{Finding, FindingId, Party, Severity},
    name::Comm,
    time::Time,
};
use std::net::SocketAddr;
use tracer_common::{
    State,
    record::socket::{Tuple, words},
    settings,
};

fn filter(flags: &str, namespaces: &[u32]) -> Filter {
    let line = format!("tcptrace watch --min-severity info {flags}");
    match Cli::read(line.split_whitespace()).expect("a command line").command {
        Command::Watch(arguments) => Filter::new(&arguments, namespaces.to_vec()),
        _ => unreachable!("watch was written"),
    }
}

fn owner(pid: u32, comm: &str) -> Owner {
    Owner { pid, comm: Comm::from(comm), source: Source::Io, fd: None, place: Place::default() }
}

fn party(local: &str, remote: &str, netns: u32, owner: impl Into<Option<Owner>>) -> Party {
    let [local, remote] = [local, remote].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let tuple = Tuple {
        local: words(local.ip()),
        remote: words(remote.ip()),
        local_port: local.port(),
        remote_port: remote.port(),
        netns,
    };
    Party {
        tuple,
        cookie: None,
        state: None,
        direction: None,
        age: None,
        preexisting: false,
        uid: None,
        owner: owner.into(),
        in_cgroup: false,
        followed: false,
    }
}

fn finding(local: Party, peer: Option<Party>) -> Finding {
    Finding {
        id: FindingId(1),
        follows: vec![],
        pattern: "connection_refused",
        also: vec![],
        at: Time(1),
        severity: Severity::Warning,
        confidence: 1.0,
        title: "",
        message: String::new(),
        advice: String::new(),
        confirm: None,
        errno: None,
        signal: None,
        local,
        peer,
        reset: None,
        facts: vec![],
        timeline: vec![],
        count: 1,
        first: Time(1),
        missing: vec![],
    }
}

fn wanted(flags: &str, finding: &Finding) -> bool {
    filter(flags, &[]).wants(finding)
}

#[test]
fn user_space_decides_as_the_flags_say() {
    let refused = finding(party("10.0.0.1:40000", "10.0.0.2:81", 1, owner(42, "curl")), None);
    for (flags, wants) in [
        ("", true),
        ("--port 81", true),
        ("--port 40000", true),
        ("--port 80,82-90", false),
        ("-L 81", false),
        ("-L 40000 -D 81", true),
        ("-D 81", true),
        ("--addr 10.0.0.0/24", true),
        ("--addr 10.0.1.0/24", false),
        ("--addr 10.0.1.0/24 --addr 10.0.0.2", true),
        ("--addr ::ffff:10.0.0.2", true),
        ("--addr ::ffff:10.0.0.0/104", true),
        ("--addr ::/0", false),
        ("-4", true),
        ("-6", false),
        ("--pid 42", true),
        ("--pid 43", false),
        ("--comm curl", true),
        ("--comm nginx", false),
        ("--pid 42 --comm nginx", false),
        ("--port 81 --pid 43", false),
    ] {
        assert_eq!(wanted(flags, &refused), wants, "{flags}");
    }
    let least = Filter { min_severity: Severity::Critical, ..filter("", &[]) };
    assert!(!least.wants(&refused));
}

#[test]
fn a_mapped_address_is_ipv4() {
    let mapped = finding(party("[::ffff:10.0.0.1]:40000", "[::ffff:10.0.0.2]:81", 1, None), None);
    assert!(wanted("-4 --addr 10.0.0.0/8", &mapped));
    assert!(!wanted("-6", &mapped));
    let six = finding(party("[2001:db8::1]:40000", "[2001:db8::2]:81", 1, None), None);
    assert!(wanted("-6 --addr 2001:db8::/32", &six) && !wanted("-4", &six));
}

#[test]
fn filters_must_hold_together_at_one_end_and_owners_at_either() {
    let client = party("10.0.0.1:40000", "10.0.0.2:81", 1, owner(42, "curl"));
    let server = party("10.0.0.2:81", "10.0.0.1:40000", 2, owner(7, "nginx"));
    let both = finding(client, Some(server));
    assert!(wanted("-L 81", &both), "as the server sees it");
    assert!(!wanted("-L 81 -D 81", &both));
    assert!(wanted("--pid 7", &both) && wanted("--comm curl", &both));
    assert!(!wanted("--pid 7 --comm curl", &both), "no process is both");
    assert!(filter("-L 81", &[2]).wants(&both));
    assert!(!filter("-L 81", &[1]).wants(&both), "the server is elsewhere");
}

#[test]
fn what_has_no_connection_is_judged_by_its_process() {
    let mut nothing = party("[::]:0", "[::]:0", 7, owner(42, "curl"));
    nothing.state = None;
    let call = finding(nothing, None);
    // The kernel lets it pass only for a process that owns a connection which is asked for.
    assert!(wanted("--port 81", &call) && wanted("--addr 10.0.0.0/8 -4", &call));
    assert!(!wanted("--pid 7", &call) && wanted("--pid 42", &call));
    let watch = |namespaces: &[u32]| filter("", namespaces).wants(&call);
    assert!(watch(&[7]) && !watch(&[8]));
}

#[test]
fn a_socket_is_in_a_cgroup_that_is_asked_for_or_it_is_not() {
    let asked = |count| Filter {
        cgroups: vec![settings::Cgroup { id: 7, level: 2, reserved: 0 }; count],
        ..filter("", &[])
    };
    let outside = party("10.0.0.1:40000", "10.0.0.2:81", 1, None);
    let inside = Party { in_cgroup: true, ..party("10.0.0.2:81", "10.0.0.1:40000", 1, None) };
    assert!(asked(1).wants(&finding(outside.clone(), Some(inside.clone()))));
    assert!(asked(1).wants(&finding(inside, None)));
    // A remainder, or a listener, of which the kernel programs have told nothing.
    assert!(!asked(1).wants(&finding(outside.clone(), None)));
    assert!(asked(0).wants(&finding(outside, None)));
    // What has no socket passes the kernel programs only for a process that has one inside.
    assert!(asked(1).wants(&finding(party("[::]:0", "[::]:0", 7, owner(42, "curl")), None)));
    let kernel = asked(2).for_kernel(false);
    assert_eq!((kernel.filtered, kernel.cgroup_count, kernel.cgroups[1].id), (1, 2, 7));
}

#[test]
fn names_are_compared_as_the_kernel_keeps_them() {
    let long = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(42, "a-rather-long-name")), None);
    assert!(wanted("--comm a-rather-long-name", &long) && wanted("--comm a-rather-long-n", &long));
    assert!(!wanted("--comm a-rather-long", &long));
}

#[test]
fn the_tracer_and_what_does_not_belong_to_the_command_are_left_out() {
    let own = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(std::process::id(), "tcptrace")), None);
    assert!(!wanted("", &own) && wanted("--self", &own));
    let other = finding(party("10.0.0.1:1", "10.0.0.2:2", 1, owner(42, "curl")), None);
    let command = filter("-- curl", &[]);
    assert!(!command.wants(&other));
    let followed = Finding { local: Party { followed: true, ..other.local.clone() }, ..other };
    assert!(command.wants(&followed));
}

#[test]
fn a_listener_on_the_port_passes_whatever_is_asked_of_the_other_end() {
    let mut listener = party("0.0.0.0:81", "0.0.0.0:0", 1, None);
    listener.state = Some(State::Listen);
    let leak = finding(listener, None);
    assert!(wanted("-D 81", &leak) && wanted("--port 81 --addr 10.0.0.0/8", &leak));
    assert!(!wanted("-D 82", &leak) && !wanted("--port 80", &leak));
}

#[test]
fn events_are_judged_as_findings_are() {
    let tuple = party("10.0.0.1:40000", "10.0.0.2:81", 1, None).tuple;
    let origin = Origin::Remainder { cookie: Cookie(1), tuple, substate: None };
    let what = What::ResetSent { origin, segment: None, reason: None };
    let event = Event { at: Time(1), cpu: 0, task: Task::default(), what };
    let wants = |flags: &str| filter(flags, &[]).wants_event(&event);
    assert!(wants("") && wants("-D 81"));
    let of_cgroup =
        Filter { cgroups: vec![settings::Cgroup::default()], ..filter("", &[]) }.wants_event(&event);
    assert!(!of_cgroup, "what is left of a socket has no cgroup");
    assert!(!wants("-L 81") && !wants("--pid 42"));
}

#[test]
fn networks_are_compared_as_they_travel() {
    let network = kernel_network(&Network("10.0.0.0/8".parse().expect("a network")));
    let inside = words([10, 1, 2, 3].into());
    let outside = words([11, 1, 2, 3].into());
    let within = |address: [u64; 2]| (0..2).all(|i| address[i] & network.mask[i] == network.address[i]);
    assert!(within(inside) && !within(outside));
    assert!(!within(words("a00::".parse().expect("an address"))));
}

#[test]
fn no_filter_is_told_to_the_kernel_as_none() {
    assert_eq!(filter("", &[]).for_kernel(false).filtered, 0);
    assert_eq!(filter("-6", &[]).for_kernel(false).filtered, 1);
}

#[test]
fn the_kernels_counters_are_reconciled_only_for_everybody() {
    for (flags, wanted) in
        [("", 1), ("--exclude connection_reset", 1), ("-4", 0), ("-p 1", 0), ("--pid 1", 0), ("--comm a", 0)]
    {
        assert_eq!(filter(flags, &[]).for_kernel(false).reconcile, wanted, "{flags}");
    }
    assert_eq!(filter("", &[1]).for_kernel(false).reconcile, 0);
}
