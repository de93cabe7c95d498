//! How fast records go through decode and engine, and how much memory a million connections take there.
//!
//! `cargo xtask bench engine` runs this. No kernel, no clock: records are made here, as the programs write them.

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use procfs::process::Process;
use std::{hint::black_box, time::Instant};
use tracer::{
    decode::decode,
    engine::{Capacity, Engine},
    scenario::host,
    time::Time,
};
use tracer_common::{
    State::{self, Close, CloseWait, Established, FinWait2, LastAck},
    record::{
        Header, Kind,
        socket::{DEAD, INCOMING, NO_SOCKET, OUTGOING, OWNED, Past, Socket, Tuple, words},
        state_change::StateChange,
    },
};
use zerocopy::IntoBytes as _;

/// Connections of a round.
const CONNECTIONS: u32 = 200_000;
/// Between the beginnings of two, in nanoseconds: 40,000 a second.
const APART_NS: u64 = 25_000;
/// How long each lives, in nanoseconds.
const LIFE_NS: u64 = 1_000_000;
/// So many records are taken between two looks at the time, as the daemon does.
const BATCH: usize = 2_048;
/// Rounds, of which the middle one counts.
const ROUNDS: usize = 11;
/// Connections that are open at the same time, for memory.
const MANY: u32 = 1_000_000;

/// One end of a connection.
#[derive(Clone, Copy)]
struct End {
    number: u32,
    outgoing: bool,
}

impl End {
    fn record(self, at_ns: u64, old: State, new: State, err: i32) -> StateChange {
        let port = 1_024 + u16::try_from(self.number % 60_000).expect("a port");
        let host = |last: u32| words(std::net::Ipv4Addr::from(0x0a00_0000 + last).into());
        let client = Tuple {
            local: host(2 + self.number / 60_000),
            remote: host(1),
            local_port: port,
            remote_port: 8_080,
            netns: 4_026_531_840,
        };
        let owner = if self.outgoing { 4_242 } else { 17 };
        let closed = if new == Close { DEAD | NO_SOCKET } else { OWNED };
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(if self.outgoing { b"curl" } else { b"app\0" });
        StateChange {
            header: Header {
                at_ns,
                kind: Kind::StateChange as u16,
                len: u16::try_from(size_of::<StateChange>()).expect("records are short"),
                cpu: 0,
                pid: owner,
                tid: owner,
                comm,
            },
            socket: Socket {
                cookie: u64::from(self.number) * 2 + u64::from(self.outgoing) + 1,
                tuple: if self.outgoing { client } else { client.swapped() },
                bytes_received: 100,
                bytes_acked: 100,
                err,
                flags: closed,
                state: old.number(),
                ..Socket::default()
            },
            past: Past {
                born_ns: at_ns - LIFE_NS,
                established_ns: at_ns - LIFE_NS,
                fin_received_ns: if old == CloseWait { at_ns } else { 0 },
                owner,
                comm,
                flags: if self.outgoing { OUTGOING } else { INCOMING },
                ..Past::default()
            },
            old: old.number(),
            new: new.number(),
            reserved: [0; 6],
        }
    }
}

/// What travels of connections that end as they should, or by an error.
fn records(connections: u32, err: i32) -> Vec<StateChange> {
    let mut records = Vec::new();
    for number in 0..connections {
        let at = 1_000_000_000 + u64::from(number) * APART_NS;
        let (client, server) = (End { number, outgoing: true }, End { number, outgoing: false });
        if err != 0 {
            records.push(client.record(at, Established, Close, err));
        } else {
            records.push(server.record(at, Established, CloseWait, 0));
            records.push(server.record(at + 1_000, CloseWait, LastAck, 0));
            records.push(client.record(at + 2_000, FinWait2, Close, 0));
        }
    }
    records
}

/// Millions of records a second, decoded and judged; the middle of the rounds, the slowest and the fastest.
fn rate(records: &[StateChange]) -> Result<[f64; 3]> {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut engine = Engine::new(host(), Capacity::default(), |_| true);
        let begun = Instant::now();
        for batch in records.chunks(BATCH) {
            for record in batch {
                let event = decode(record.as_bytes()).ok().context("a record of this version")?;
                engine.ingest(event);
            }
            engine.advance(Time(batch.last().map_or(0, |record| record.header.at_ns)));
            black_box(engine.take_findings());
            black_box(engine.take_requests());
        }
        let number = u32::try_from(records.len()).context("few records")?;
        rates.push(f64::from(number) / begun.elapsed().as_secs_f64() / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    Ok([rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]])
}

/// The most memory that this process has had, in MiB.
fn peak() -> Result<f64> {
    let kib = Process::myself()?.status()?.vmhwm.context("the kernel does not say")?;
    Ok(f64::from(u32::try_from(kib)?) / 1_024.0)
}

/// MiB that an engine takes, at its peak, while it hears of so many connections that stay in CLOSE_WAIT.
fn memory() -> Result<f64> {
    let before = peak()?;
    let mut engine = Engine::new(host(), Capacity::default(), |_| true);
    for number in 0..MANY {
        let at = 1_000_000_000 + u64::from(number) * APART_NS;
        let record = End { number, outgoing: false }.record(at, Established, CloseWait, 0);
        engine.ingest(decode(record.as_bytes()).ok().context("a record of this version")?);
        if (number as usize).is_multiple_of(BATCH) {
            engine.advance(Time(at));
            black_box(engine.take_requests());
        }
    }
    // The last of them wait for what may have come later than it happened.
    engine.advance(Time(2_000_000_000 + u64::from(MANY) * APART_NS));
    let load = engine.load();
    ensure!(load.ends as u64 + load.evicted_ends == u64::from(MANY), "connections are missing: {load:?}");
    Ok(peak()? - before)
}

fn main() -> Result<()> {
    // First: memory that was given back is not taken again.
    let took = memory()?;
    println!("| figure | median | slowest | fastest |\n|---|---:|---:|---:|");
    for (what, err) in
        [("connections that end as they should", 0), ("connections that are reset", Errno::ECONNRESET as i32)]
    {
        let [median, slowest, fastest] = rate(&records(CONNECTIONS, err))?;
        println!("| records of {what}, millions a second | {median:.2} | {slowest:.2} | {fastest:.2} |");
    }
    println!("| memory, {MANY} connections in CLOSE_WAIT, MiB at the peak | {took:.0} | | |");
    Ok(())
}
