//! One of each record, for tests.

use super::{
    Stamp,
    event::EventRecord,
    finding::{FindingRecord, Processes},
    line,
    reconciliation::{CounterRecord, NamespaceRecord, ReconciliationRecord},
    run::{Counts, LossRecord, Probe, ProbeTime, Start, Stats, Stop},
};
use crate::{
    death::Death,
    enrich::{Container, ProcessFacts},
    errno::Errno,
    event::{Cookie, Event, Origin, Owner, Place, Snapshot, Source, Task, What},
    finding::{self, Direction, ErrnoSource, Fact, FindingId, Happening, Party, Reset, Severity, Step},
    name::Comm,
    pattern::settings,
    time::Time,
};
use bytes::Bytes;
use std::{net::SocketAddr, time::Duration};
use tracer_common::{
    State,
    record::socket::{self, Past, Socket, Tuple, words},
};

/// Boot time of everything here.
pub(super) const AT: Time = Time(10_000_000_000);
pub(crate) fn stamp() -> Stamp {
    Stamp { wall_minus_boot_ns: 1_700_000_000_000_000_000, host: "db1".to_owned() }
}

fn tuple(local: &str, remote: &str) -> Tuple {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let (local, remote) = (address(local), address(remote));
    Tuple {
        local: words(local.ip()),
        remote: words(remote.ip()),
        local_port: local.port(),
        remote_port: remote.port(),
        netns: 4_026_531_840,
    }
}

fn owner(comm: &str, pid: u32, source: Source) -> Owner {
    Owner {
        pid,
        comm: Comm::from(comm),
        source,
        fd: Some(5),
        place: Place { cgroup: 7, ns_pid: pid % 1_000 },
    }
}

/// Both ends are here; everything that may be known is.
pub(crate) fn finding() -> finding::Finding {
    let curl = owner("curl", 4_242, Source::Connect);
    let nginx = owner("nginx", 817, Source::Close);
    let step = |ns, local, what, by| Step { at: Time(AT.0 - ns), local, what, by };
    let tuple = tuple("127.0.0.1:40000", "127.0.0.1:8080");
    let party = |tuple, cookie, state, direction, owner| Party {
        tuple,
        cookie: Some(Cookie(cookie)),
        state: Some(state),
        direction: Some(direction),
        age: Some(Duration::from_secs(4)),
        preexisting: false,
        uid: Some(1_000),
        owner: Some(owner),
        in_cgroup: false,
        followed: false,
    };
    finding::Finding {
        id: FindingId(17),
        follows: vec![FindingId(3)],
        pattern: "fin_wait2_write_reset",
        also: vec!["broken_pipe"],
        at: AT,
        severity: Severity::Warning,
        confidence: 0.95,
        title: "RST answered a write to a socket in FIN_WAIT2",
        message: "curl[4242] wrote 9 bytes 3.2 s after nginx[817] had closed; the kernel answered RST".into(),
        advice: "Treat end of file as the end of the connection.".into(),
        confirm: Some("ss -tnp state close-wait dport = :8080".into()),
        errno: Some((Errno::EPIPE, ErrnoSource::Derived)),
        signal: Some("SIGPIPE"),
        local: party(tuple, 4_711, State::CloseWait, Direction::Outgoing, curl),
        peer: Some(party(tuple.swapped(), 4_712, State::FinWait2, Direction::Incoming, nginx)),
        reset: Some(Reset { sent: false, reason: Some("TCP_TIMEWAIT_SOCKET".into()), inferred: false }),
        facts: vec![
            ("unacked", Fact::Count(9)),
            ("eof_read", Fact::Flag(false)),
            ("how", Fact::Text("x".into())),
        ],
        timeline: vec![
            step(
                3_200_000_000,
                false,
                Happening::State {
                    from: State::Established,
                    to: State::FinWait1,
                    death: Some(Death::Signal(9)),
                },
                Some(nginx),
            ),
            step(2_000, true, Happening::EofRead, Some(curl)),
            step(1_000, false, Happening::ResetSent { reason: Some("TCP_TIMEWAIT_SOCKET".into()) }, None),
            step(0, true, Happening::ResetReceived, None),
            step(0, true, Happening::CallFailed { call: "send", errno: Errno::EPIPE }, Some(curl)),
        ],
        count: 1,
        first: AT,
        missing: vec![],
    }
}

/// A finding of which next to nothing is known.
pub(crate) fn bare() -> finding::Finding {
    let party = Party {
        tuple: tuple("[::1]:0", "[::1]:80"),
        cookie: None,
        state: None,
        direction: None,
        age: None,
        preexisting: true,
        uid: None,
        owner: None,
        in_cgroup: false,
        followed: false,
    };
    finding::Finding {
        follows: vec![],
        also: vec![],
        errno: None,
        signal: None,
        local: party,
        peer: None,
        reset: None,
        facts: vec![],
        timeline: vec![],
        missing: vec!["history"],
        ..finding()
    }
}

pub(super) fn facts() -> ProcessFacts {
    ProcessFacts {
        exe: Some("/usr/bin/curl".into()),
        uid: Some(0),
        cgroup: Some("/system.slice/docker-0123.scope".into()),
        container: Some(Container { id: "0123".into(), runtime: Some("docker") }),
    }
}

fn snapshot() -> Snapshot {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    let past = Past {
        born_ns: 9_000_000_000,
        owner: 4_242,
        comm,
        source: socket::OWNER_CONNECT,
        flags: socket::OUTGOING,
        ..Past::default()
    };
    let socket = Socket { tuple: tuple("127.0.0.1:40000", "127.0.0.1:8080"), err: 104, ..Socket::default() };
    Snapshot { cookie: Cookie(4_711), state: State::Established, socket, past }
}

/// One of each kind.
fn events() -> Vec<What> {
    let end = snapshot();
    let rest = Origin::Remainder { cookie: Cookie(1), tuple: end.tuple(), substate: Some(State::FinWait2) };
    vec![
        What::StateChange { end, old: State::Established, new: State::CloseWait },
        What::ResetSent { origin: Origin::Full(end), segment: None, reason: Some(1) },
        What::ResetSent { origin: rest, segment: None, reason: None },
        What::ResetSent { origin: Origin::Nothing, segment: None, reason: None },
        What::ResetReceived { end },
        What::Error { end },
        What::SendFailed { end, errno: Some(Errno::EPIPE) },
        What::ReceiveFailed { end, errno: Some(Errno::ECONNRESET) },
    ]
}

pub(super) fn namespace(netns: u32) -> NamespaceRecord {
    let counter = CounterRecord { counted: 5, explained: 4, unexplained: 1, by_embryonic: None };
    let attempts = CounterRecord { by_embryonic: Some(2), ..counter };
    NamespaceRecord {
        netns,
        appeared: true,
        gone: false,
        counters: [("OutRsts", counter), ("AttemptFails", attempts)].into(),
        counter_only: [("EmbryonicRsts", 2)].into(),
    }
}

fn reconciliation() -> ReconciliationRecord {
    let one = namespace(4_026_531_840);
    let counters = one.counters.clone();
    ReconciliationRecord { counters, namespaces: vec![one], quiet: 3, cut: Some(1), hidden: 0 }
}

pub(super) fn counts() -> Counts {
    let time = stamp().wall(AT);
    let loss = LossRecord { cause: "ring_full", cpu: 0, count: 3, first_time: time.clone(), last_time: time };
    Counts {
        seen: 10,
        delivered: 7,
        received: 7,
        lost: [("ring_full", 3)].into(),
        losses: vec![loss],
        losses_cut: None,
        suppressed: [("unneeded", 0)].into(),
        malformed: 0,
        findings: [("connection_reset", 2)].into(),
        tables: [("connections", 4)].into(),
        evictions: [("connections", 0)].into(),
        looks_skipped: 0,
        dropped: [("stdout", 0)].into(),
        user_cpu_seconds: 0.5,
        system_cpu_seconds: 0.0,
        reconciliation: Some(reconciliation()),
        probes: Some([("error", ProbeTime { runs: 1, ns: 200 })].into()),
    }
}

pub(super) fn start() -> Start {
    let attached = Probe {
        name: "error",
        point: "inet_sk_error_report".to_owned(),
        attached: Some("tracepoint"),
        why_not: None,
        lost: None,
    };
    let refused = Probe {
        name: "sample",
        point: "tcp".to_owned(),
        attached: None,
        why_not: Some("the kernel does not allow it to this process".to_owned()),
        lost: Some("sockets older than the tracer"),
    };
    Start {
        common: stamp().common("start", 1, AT),
        version: env!("CARGO_PKG_VERSION"),
        kernel: "6.18.0".to_owned(),
        backend: "tracepoint",
        probes: vec![attached, refused],
        filters: vec!["--port".to_owned(), "443".to_owned()],
        thresholds: settings().map(|setting| (setting.key, setting.default.to_string())).collect(),
        ring_size: 4 << 20,
        scanned: 0,
    }
}

/// A line of every record, and of each of its shapes.
pub(super) fn lines() -> Vec<Bytes> {
    let stamp = stamp();
    let processes = Processes::from_iter([(4_242, facts()), (817, facts())]);
    let finding = |finding, processes| FindingRecord::new(&finding, 1, &stamp, processes).line();
    let reasons = [(1, "NO_SOCKET".to_owned())].into_iter().collect();
    let task = Task { pid: 1, tid: 1, comm: Comm::default() };
    let event = |what| {
        let event = Event { at: AT, cpu: 0, task, what };
        line(&EventRecord::new(&event, 1, &stamp, &reasons).expect("it happened to a connection"))
    };
    let none = Counts { probes: None, reconciliation: None, losses: vec![], lost: [].into(), ..counts() };
    let mut lines = vec![
        line(&start()),
        finding(self::finding(), &processes),
        finding(bare(), &Processes::default()),
        line(&Stats { common: stamp.common("stats", 1, AT), counts: counts() }),
        line(&Stats { common: stamp.common("stats", 1, AT), counts: none }),
        line(&Stop { common: stamp.common("stop", 1, AT), why: "signal", counts: counts() }),
    ];
    lines.extend(events().into_iter().map(event));
    lines.into_iter().collect::<Result<_, _>>().expect("every record has a JSON form")
}
