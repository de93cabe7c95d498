//! A ring that is far too small: what does not fit is lost, and counted to the last record.

use super::{
    alone,
    support::{Namespace, Watch, skipped},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

/// A dozen records fill the smallest ring, and the daemon looks every 10 ms.
const CONNECTIONS: u64 = 2_000;
/// Changes of state of an orderly connection, both ends together.
const CHANGES: u64 = 10;
/// Those that travel: into CLOSE_WAIT, and out of it.
const TOLD: u64 = 2;

/// A process that dies by a signal makes a record as well, wherever it is; not in each of so many tries.
const TRIES: usize = 10;

#[test]
fn what_a_full_ring_loses_is_counted_exactly() {
    if skipped("what_a_full_ring_loses_is_counted_exactly") {
        return;
    }
    // Demos end many processes by signals.
    let _alone = alone();
    let namespace = Namespace::new();
    assert_eq!(lost(&namespace, "8M"), 0);
    assert!(lost(&namespace, "4K") > 0, "a page holds all of it");
}

/// Records that a ring of this size loses of those that [`CONNECTIONS`] make.
fn lost(namespace: &Namespace, ring: &str) -> u64 {
    let made = CONNECTIONS * TOLD;
    let number = |value: &Value| value.as_u64().expect("a number");
    let mut stop = Value::Null;
    for _ in 0..TRIES {
        namespace.run(|| {
            // Listens before the watcher comes and after it has gone: nothing but connections is counted.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
            let mut watch = Watch::start(namespace.inode(), &["--ring-size", ring]);
            for _ in 0..CONNECTIONS {
                connection(&listener);
            }
            stop = watch.stop().1;
        });
        let (delivered, lost) = (number(&stop["delivered"]), number(&stop["lost"]["ring_full"]));
        // An event that met two running programs may have been somebody else's.
        assert!(delivered + lost + number(&stop["lost"]["recursion"]) >= made, "{stop:#}");
        assert!(number(&stop["received"]) >= delivered, "{stop:#}");
        // The rest of the host may add to these.
        let unneeded = number(&stop["suppressed"]["unneeded"]);
        assert!(unneeded >= CONNECTIONS * (CHANGES - TOLD), "{stop:#}");
        let per_cpu = stop["losses"].as_array().expect("a list").iter();
        let full = per_cpu.filter(|loss| loss["cause"] == "ring_full").map(|loss| number(&loss["count"]));
        assert_eq!(full.sum::<u64>(), lost, "{stop:#}");
        if delivered + lost == made {
            return lost;
        }
    }
    panic!("never as many as were made: {stop:#}");
}

/// One that both ends close in good order.
fn connection(listener: &TcpListener) {
    let mut client = TcpStream::connect(listener.local_addr().expect("a port")).expect("a connection");
    let (mut server, _) = listener.accept().expect("a connection");
    client.write_all(b"ask").expect("room");
    server.read_exact(&mut [0; 3]).expect("a request");
    drop(client);
    assert_eq!(server.read(&mut [0]).expect("the end"), 0);
}
