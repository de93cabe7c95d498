//! The other end of a connection, to which nothing has happened: it is looked for, and a recording has what was found.

use super::support::{Watch, skipped};
use std::{fs::File, io::BufReader, path, sync::Arc};
use tracer::{
    decode::decode,
    engine::{Capacity, Engine},
    event::What,
    finding::Finding,
    lab::{
        actor::Program,
        case,
        path::{Family, Medium, Path},
        world::World,
    },
    recording::Reader,
};

#[test]
fn an_end_to_which_nothing_has_happened_is_named_live_and_from_a_recording() {
    if skipped("an_end_to_which_nothing_has_happened_is_named_live_and_from_a_recording") {
        return;
    }
    let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let world = Arc::new(World::new(program).expect("a world"));
    // A rule of the client's host answers in the server's name; the server stays as it was.
    let wanted = |case: &&case::Case| case.pattern == Some("forged_reset") && case.variant == "own_firewall";
    let case = case::patterns().find(wanted).expect("the case");
    let recording = std::env::temp_dir().join(format!("tcptrace-{}.rec", world.inodes()[0]));
    let flags = ["--raw-records", recording.to_str().expect("text")];
    let mut watch = Watch::start(world.inodes()[0], &flags);
    let staged = case.stage(world, Path::new(Medium::Loopback, Family::V4)).expect("the case");
    let finding = watch.finding();
    let (others, stop) = watch.stop();
    let server = staged.expected.as_ref().and_then(|expected| expected.peer_pid).expect("the server");
    assert_eq!(finding["pattern"], "forged_reset", "{finding}");
    assert_eq!(finding["peer"]["process"]["pid"], server, "{finding}");
    assert_eq!(finding["peer"]["connection"]["state"], "ESTABLISHED", "{finding}");
    assert!(others.is_empty(), "{others:?} {stop}");
    staged.release();

    let told = replay(&recording);
    std::fs::remove_file(&recording).expect("it is there");
    let [again] = told.as_slice() else { panic!("one finding, not {told:?}") };
    let owner = again.peer.as_ref().and_then(|peer| peer.owner).expect("its owner");
    assert_eq!((again.pattern, owner.pid), ("forged_reset", server));
    assert_eq!(finding["message"], again.message.as_str());
}

fn replay(recording: &path::Path) -> Vec<Finding> {
    let file = File::open(recording).expect("a recording");
    let mut reader = Reader::open(BufReader::new(file)).expect("of this version");
    let mut engine = Engine::new(reader.preface.host(), Capacity::default(), |_| true);
    while let Some(bytes) = reader.next_record().expect("a whole record") {
        let event = decode(&bytes).expect("a record of this version");
        match event.what {
            What::Tick => engine.advance(event.at),
            _ => engine.ingest(event),
        }
    }
    engine.finish();
    engine.take_findings()
}
