//! The engine under histories that never were: shuffled, doubled, with holes.

use proptest::{collection::vec, prelude::any, prop_assert, proptest};
use std::time::Duration;
use tracer::{
    engine::{Capacity, Engine},
    event::{Cookie, Event, What},
    finding::{Fact, Finding, VARIOUS_SERVICES},
    pattern::CATALOGUE,
    scenario::{host, parse, play},
    time::Time,
};

/// Every event of every scenario.
fn events() -> Vec<Event> {
    let traces = CATALOGUE.iter().flat_map(|pattern| pattern.scenarios);
    traces.flat_map(|scenario| parse(scenario.trace).expect("a history")).collect()
}

const SMALL: Capacity = Capacity { ends: 4, parked: 3 };

proptest! {
    #[test]
    fn no_history_makes_it_panic_or_grow(picks in vec((any::<u16>(), 0..200_u64), 0..400)) {
        let events = events();
        let mut engine = Engine::new(host(), SMALL, |_| true);
        let mut now = 1_000_000_000;
        for (pick, milliseconds) in picks {
            now += milliseconds * 1_000_000;
            let event = Event { at: Time(now), ..events[usize::from(pick) % events.len()].clone() };
            engine.ingest(event);
            let load = engine.load();
            prop_assert!(load.ends <= SMALL.ends && load.parked <= SMALL.parked);
            prop_assert!(load.cases <= SMALL.ends + SMALL.parked);
        }
        engine.advance(Time(now) + Duration::from_hours(1));
        engine.finish();
        for finding in engine.take_findings() {
            prop_assert!((0.0..=1.0).contains(&finding.confidence));
            prop_assert!(finding.count > 0 && finding.first <= finding.at);
            prop_assert!(finding.timeline.is_sorted_by_key(|step| step.at));
        }
    }
}

#[test]
fn what_gives_way_is_counted() {
    let mut engine = Engine::new(host(), Capacity { ends: 1, parked: 1 }, |_| true);
    for port in 0..3 {
        let trace = format!(
            "s = 10.0.0.2:8080 > 10.0.0.1:4000{port} in app[17]
             {port}ms s ESTABLISHED>CLOSE_WAIT"
        );
        for mut event in parse(&trace).expect("a history") {
            if let What::StateChange { end, .. } = &mut event.what {
                end.cookie = Cookie(port + 1);
            }
            engine.ingest(event);
        }
    }
    engine.advance(Time(2_000_000_000));
    assert_eq!(engine.load().ends, 1);
    assert_eq!(engine.load().evicted_ends, 2);
}

#[test]
fn incidents_that_are_too_many_to_wait_are_judged_at_once_and_counted() {
    let mut engine = Engine::new(host(), Capacity { ends: 2, parked: 0 }, |_| true);
    for number in 0..5_u64 {
        let trace = format!(
            "c = 10.0.0.1:{} > 10.0.0.2:8080 out curl[42]
             1ms c reset-received
             1ms c ESTABLISHED>CLOSE err=ECONNRESET",
            40_000 + number
        );
        for mut event in parse(&trace).expect("a history") {
            let (What::StateChange { end, .. } | What::ResetReceived { end }) = &mut event.what else {
                continue;
            };
            end.cookie = Cookie(number + 1);
            engine.ingest(event);
        }
    }
    engine.advance(Time(1_010_000_000));
    let load = engine.load();
    assert_eq!((load.cases, load.evicted_cases), (2, 3), "the others wait for what the peer tells");
    assert_eq!(load.findings.values().sum::<u64>(), 3);
}

#[test]
fn a_storm_is_one_record_a_window_and_the_sum_is_the_total() {
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    for number in 0..100_u64 {
        let at = number * 300; // 30 s: three windows and a bit
        let trace = format!(
            "c = 10.0.0.1:{} > 10.0.0.2:81 out curl[42]
             {at}ms c CLOSE>SYN_SENT owned
             {at}ms c reset-received
             {at}ms c SYN_SENT>CLOSE err=ECONNREFUSED",
            40_000 + number
        );
        for mut event in parse(&trace).expect("a history") {
            match &mut event.what {
                What::StateChange { end, .. } | What::ResetReceived { end } => {
                    end.cookie = Cookie(number + 1);
                }
                _ => {}
            }
            engine.advance(event.at);
            engine.ingest(event);
        }
    }
    engine.advance(Time(40_000_000_000));
    engine.finish();
    let findings = engine.take_findings();
    assert_eq!(findings.iter().map(|finding| finding.count).sum::<u64>(), 100);
    assert_eq!(findings.len(), 4, "the first at once, then one a window");
    assert_eq!(findings[0].count, 1);
}

#[test]
fn a_scan_of_many_services_is_one_storm_and_nobody_elses() {
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    let mut refused = |at: u64, port: u64, pid: u64| {
        let trace = format!(
            "c = 10.0.0.1:{} > 10.0.0.2:{port} out scan[{pid}]
             {at}ms c CLOSE>SYN_SENT owned
             {at}ms c reset-received
             {at}ms c SYN_SENT>CLOSE err=ECONNREFUSED",
            40_000 + port
        );
        for mut event in parse(&trace).expect("a history") {
            match &mut event.what {
                What::StateChange { end, .. } | What::ResetReceived { end } => {
                    end.cookie = Cookie(pid * 10_000 + port);
                }
                _ => {}
            }
            engine.advance(event.at);
            engine.ingest(event);
        }
    };
    for port in 1..=1_000 {
        refused(port, port, 42);
    }
    refused(1_001, 2_000, 43);
    engine.advance(Time(30_000_000_000));
    engine.finish();
    let (others, scan): (Vec<_>, Vec<_>) = engine
        .take_findings()
        .into_iter()
        .partition(|finding| finding.local.owner.is_some_and(|owner| owner.pid == 43));
    assert_eq!(scan.iter().map(|finding| finding.count).sum::<u64>(), 1_000);
    assert!(scan.len() < 70, "{} findings of 1000 ports", scan.len());
    let various = |finding: &Finding| finding.facts.contains(&(VARIOUS_SERVICES, Fact::Flag(true)));
    let many: Vec<_> = scan.iter().filter(|finding| finding.count > 1).collect();
    assert!(!many.is_empty() && many.iter().all(|finding| various(finding)), "{many:?}");
    assert_eq!(others.len(), 1);
    assert!(!various(&others[0]));
}

#[test]
fn an_own_firewall_rule_is_named_where_its_reset_was_seen_and_there_alone() {
    let told = |trace: &str| {
        let findings = play(trace, |_| true).expect("a history");
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        let own = finding.facts.contains(&("own_firewall", Fact::Flag(true)));
        assert_eq!(own, finding.message.contains("firewall rule of this host"), "{}", finding.message);
        assert!(!own || !finding.message.contains("listens"), "{}", finding.message);
        own
    };
    let refused = |rejected: &str| {
        told(&format!(
            "c = 10.0.0.1:40000 > 10.0.0.2:81 out curl[42]
             d = 10.0.0.1:40001 > 10.0.0.2:81 out curl[42]
             0ms      c CLOSE>SYN_SENT owned
             {rejected}
             2000ms   c reset-received
             2000.1ms c SYN_SENT>CLOSE err=ECONNREFUSED"
        ))
    };
    assert!(refused("1999.9ms c rejected answers=S:0"));
    assert!(!refused("999.9ms c rejected answers=S:0"), "that of an earlier SYN");
    assert!(!refused("1999.9ms d rejected answers=S:0"), "that of another connection");
    assert!(!refused("1999.9ms c loose reason=NO_SOCKET answers=S:0"), "nobody listens");
    let reset = |rejected: &str| {
        told(&format!(
            "c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
             1ms     c SYN_SENT>ESTABLISHED ttl=52
             {rejected}
             100ms   c reset-received reset_ttl=61
             100.1ms c ESTABLISHED>CLOSE err=ECONNRESET"
        ))
    };
    assert!(reset("99.9ms c rejected answers=PA:7"));
    assert!(!reset("98ms c retransmit"), "a device on the way");
}

#[test]
fn calls_that_failed_take_no_room_of_connections() {
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    let trace = "c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                 0ms c fails EBADF call=set:SOL_TCP/TCP_NODELAY fd=5 bare
                 1ms c fails ENOENT call=set:SOL_TCP/TCP_ULP fd=6
                 2ms c fails ENETUNREACH call=connect fd=7";
    for event in parse(trace).expect("a history") {
        engine.ingest(event);
    }
    engine.advance(Time(2_000_000_000));
    assert_eq!(engine.take_findings().len(), 3);
    assert_eq!(engine.load().ends, 0);
}

#[test]
fn a_timeout_follows_the_answers_that_were_lost() {
    let trace = "l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                 c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                 s = 10.0.0.2:8080 > 10.0.0.1:40000
                 0ms l CLOSE>LISTEN owned
                 0ms c CLOSE>SYN_SENT owned
                 3000ms s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                 134000ms c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=10 unacked=1";
    let findings = play(trace, |_| true).expect("a history");
    assert_eq!(findings.len(), 2);
    assert!(findings[0].local.age.is_none(), "the listener's age is not the connection's");
    assert_eq!(findings[1].follows, [findings[0].id]);
    assert!(findings[1].message.contains("answered by nginx[17]"), "{}", findings[1].message);
}

#[test]
fn handshakes_leave_nothing_behind() {
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    let trace = "l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                 s = 10.0.0.2:8080 > 10.0.0.1:40000
                 o = 10.0.0.9:80 > 10.0.0.1:40001
                 0ms l CLOSE>LISTEN owned
                 3000ms s answers-again listener=l answered=2 timeouts=1 half_open=1 limit=128
                 5000ms s answers-again listener=l answered=3 timeouts=1 half_open=1 limit=128
                 5000ms o loose reason=NO_SOCKET answers=SA:0";
    for event in parse(trace).expect("a history") {
        engine.ingest(event);
    }
    engine.advance(Time(7_000_000_000));
    assert_eq!(engine.load().ends, 1, "the client may give up yet");
    engine.advance(Time(7_000_000_000) + Duration::from_mins(3));
    assert_eq!(engine.load().ends, 0);
    assert_eq!(engine.take_findings().len(), 2);
}

#[test]
fn what_nobody_is_shown_of_a_scan_is_not_judged() {
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    engine.pass_over_scans();
    let trace = "o = 10.0.0.9:80 > 10.0.0.1:40001
                 0ms o loose reason=NO_SOCKET answers=SA:0";
    for event in parse(trace).expect("a history") {
        engine.ingest(event);
    }
    engine.advance(Time(3_000_000_000));
    assert_eq!(engine.take_findings().len(), 0);
}
