//! Bytes a real kernel gave, through decode and engine, without root.

use std::{fs::File, io::BufReader, path::Path, time::Duration};
use tracer::{
    decode::decode,
    engine::{Capacity, Engine},
    event::What,
    finding::Finding,
    pattern::{Host, Value},
    recording::Reader,
    scenario::summary,
};

/// Plays a recording; a record for which `keep` is false is lost.
fn play(name: &str, keep: impl Fn(usize) -> bool) -> Vec<Finding> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let file = File::open(&path).expect("a recording");
    let mut reader = Reader::open(BufReader::new(file)).expect("a recording of this version");
    let settings = [("close_wait_leak.after", Value::Time(Duration::from_secs(1)))].into_iter().collect();
    let host = Host { settings, ..reader.preface.host() };
    let mut engine = Engine::new(host, Capacity::default(), |_| true);
    let mut number = 0;
    while let Some(bytes) = reader.next_record().expect("a whole record") {
        let event = decode(&bytes).expect("a record of this version");
        match event.what {
            What::Tick => engine.advance(event.at),
            _ if keep(number) => engine.ingest(event),
            _ => {}
        }
        number += 1;
    }
    engine.finish();
    engine.take_findings()
}

#[test]
fn what_was_recorded_is_told_again() {
    let told: Vec<String> = play("loopback-6.18.rec", |_| true).iter().map(summary).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_recording_is_told_the_same_twice() {
    assert_eq!(play("loopback-6.18.rec", |_| true), play("loopback-6.18.rec", |_| true));
}

#[test]
fn lost_records_invent_nothing() {
    let whole = play("loopback-6.18.rec", |_| true);
    for lost in 0..80 {
        for finding in play("loopback-6.18.rec", |number| number != lost) {
            // Without one record an incident may be told less specifically or without its owner, but never of
            // another connection, and never of another process.
            let same = |other: &Finding| {
                let ends = [other.local.tuple, other.local.tuple.swapped()];
                let owner = |finding: &Finding| finding.local.owner.map(|owner| owner.pid);
                ends.contains(&finding.local.tuple)
                    && (owner(&finding).is_none() || owner(&finding) == owner(other))
            };
            assert!(whole.iter().any(same), "without record {lost}: {}", summary(&finding));
        }
    }
}
