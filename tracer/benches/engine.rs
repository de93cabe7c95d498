//! How fast records go through decode and engine, and how much memory the engine takes at most.
//!
//! `cargo xtask bench engine` runs this. No kernel, no clock: records are made here, as the programs write them. What is
//! measured is the time on the CPU, so that other work on the machine counts as little as can be.

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    time::{ClockId, clock_gettime},
};
use procfs::process::Process;
use std::{env, hint::black_box, process::Command, time::Duration};
use tracer::{
    decode::decode,
    engine::{Capacity, Engine, Request},
    event::{Event, Presence, Task, What},
    pattern,
    scenario::host,
    time::Time,
};
use tracer_common::{
    State::{self, Close, CloseWait, Established, FinWait2, LastAck},
    record::{
        Header, Kind,
        reset_received::ResetReceived,
        socket::{DEAD, INCOMING, NO_SOCKET, OUTGOING, OWNED, OWNER_IO, Past, Socket, Tuple, words},
        state_change::StateChange,
    },
};
use zerocopy::{Immutable, IntoBytes};

/// Connections of a round.
const CONNECTIONS: u32 = 200_000;
/// Between the beginnings of two, in nanoseconds: 40,000 a second.
const APART_NS: u64 = 25_000;
/// How long each lives, in nanoseconds.
const LIFE_NS: u64 = 1_000_000;
/// So many records are taken between two looks at the time, as the daemon does.
const BATCH: usize = 2_048;
/// Connections before the first that counts: the engine's tables are as full then as they get.
const BEFORE: u32 = 100_000;
/// Rounds, of which the middle one counts.
const ROUNDS: usize = 11;
/// Connections that something happens to at the same time, for memory.
const MANY: u32 = 1_000_000;
/// After so long everything that lasts has been judged.
const LONG: Duration = Duration::from_mins(2);

/// Records one after another, as in a ring.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// When the last one happened, in nanoseconds.
    last_ns: u64,
}

impl Records {
    fn push(&mut self, at_ns: u64, record: &(impl IntoBytes + Immutable)) {
        self.bytes.extend_from_slice(record.as_bytes());
        self.ends.push(self.bytes.len());
        self.last_ns = at_ns;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |begin, end| Some(&self.bytes[std::mem::replace(begin, *end)..*end]))
    }
}

/// One end of a connection.
#[derive(Clone, Copy)]
struct End {
    number: u32,
    outgoing: bool,
}

impl End {
    fn header<R>(self, at_ns: u64, kind: Kind) -> Header {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(if self.outgoing { b"curl" } else { b"app\0" });
        Header {
            at_ns,
            kind: kind as u16,
            len: u16::try_from(size_of::<R>()).expect("records are short"),
            cpu: 0,
            pid: self.owner(),
            tid: self.owner(),
            comm,
        }
    }

    fn owner(self) -> u32 {
        if self.outgoing { 4_242 } else { 17 }
    }

    fn socket(self, state: State, err: i32, flags: u32) -> Socket {
        let port = 1_024 + u16::try_from(self.number % 60_000).expect("a port");
        let host = |last: u32| words(std::net::Ipv4Addr::from(0x0a00_0000 + last).into());
        let client = Tuple {
            local: host(2 + self.number / 60_000),
            remote: host(1),
            local_port: port,
            remote_port: 8_080,
            netns: 4_026_531_840,
        };
        // No two connections have the same numbers.
        let (mine, other) = (self.number * 2 + 1_000, self.number * 2 + 1_001);
        let (sent, received) = if self.outgoing { (mine, other) } else { (other, mine) };
        Socket {
            cookie: u64::from(self.number) * 2 + u64::from(self.outgoing) + 1,
            tuple: if self.outgoing { client } else { client.swapped() },
            bytes_received: 100,
            bytes_acked: 100,
            rcv_nxt: received,
            copied_seq: received,
            snd_nxt: sent,
            snd_una: sent,
            write_seq: sent,
            err,
            flags,
            state: state.number(),
            ..Socket::default()
        }
    }

    fn past(self, at_ns: u64, old: State) -> Past {
        Past {
            born_ns: at_ns - LIFE_NS,
            established_ns: at_ns - LIFE_NS,
            fin_received_ns: if old == CloseWait { at_ns } else { 0 },
            owner: self.owner(),
            comm: self.header::<StateChange>(at_ns, Kind::StateChange).comm,
            source: OWNER_IO,
            flags: if self.outgoing { OUTGOING } else { INCOMING },
            ..Past::default()
        }
    }

    fn changes(self, to: &mut Records, at_ns: u64, old: State, new: State, err: i32) {
        let flags = match (new, err) {
            (Close, 0) => DEAD | NO_SOCKET,
            (Close, _) => 0, // by what came, not by its process
            _ => OWNED,
        };
        let record = StateChange {
            header: self.header::<StateChange>(at_ns, Kind::StateChange),
            socket: self.socket(old, err, flags),
            past: self.past(at_ns, old),
            old: old.number(),
            new: new.number(),
            reserved: [0; 6],
        };
        to.push(at_ns, &record);
    }

    fn is_reset(self, to: &mut Records, at_ns: u64) {
        let record = ResetReceived {
            header: self.header::<ResetReceived>(at_ns, Kind::ResetReceived),
            socket: self.socket(Established, 0, 0),
            past: self.past(at_ns, Established),
        };
        to.push(at_ns, &record);
    }
}

/// What becomes of connections.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// They end as they should: both ends are told of, the client's end is parked.
    InOrder,
    /// The peer, on another host, resets them.
    Reset,
    /// Their process does not close them.
    Left,
}

impl Fate {
    const ALL: [Self; 3] = [Self::InOrder, Self::Reset, Self::Left];

    const fn name(self) -> &'static str {
        match self {
            Self::InOrder => "that end as they should",
            Self::Reset => "that are reset",
            Self::Left => "left in CLOSE_WAIT",
        }
    }

    /// What travels of the connection with this number.
    fn records(self, number: u32, to: &mut Records) {
        let at = 1_000_000_000 + u64::from(number) * APART_NS;
        let (client, server) = (End { number, outgoing: true }, End { number, outgoing: false });
        match self {
            Self::InOrder => {
                server.changes(to, at, Established, CloseWait, 0);
                server.changes(to, at + 1_000, CloseWait, LastAck, 0);
                client.changes(to, at + 2_000, FinWait2, Close, 0);
            }
            Self::Reset => {
                client.is_reset(to, at);
                client.changes(to, at + 1_000, Established, Close, Errno::ECONNRESET as i32);
            }
            Self::Left => server.changes(to, at, Established, CloseWait, 0),
        }
    }

    /// Whether a finding tells of each.
    fn is_told(self) -> bool {
        self == Self::Reset
    }
}

fn engine() -> Engine {
    Engine::new(host(), Capacity::default(), |_| true)
}

/// Gives records to an engine as the daemon does.
fn feed(engine: &mut Engine, records: &Records) -> Result<()> {
    for record in records.iter() {
        engine.ingest(decode(record).ok().context("a record of this version")?);
    }
    pass(engine, Time(records.last_ns));
    Ok(())
}

/// Lets time pass; whoever is looked for is not there.
fn pass(engine: &mut Engine, at: Time) {
    engine.advance(at);
    black_box(engine.take_findings());
    for request in engine.take_requests() {
        if let Request::Peer { cookie, .. } | Request::Socket { cookie, .. } = request {
            let what = What::Answer { asked: Some(cookie), found: Presence::Gone, began: at };
            engine.ingest(Event { at, cpu: 0, task: Task::default(), what });
        }
    }
}

/// Time on the CPU so far.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Hands the records of so many connections to `take`, a batch at a time, with the number of the next connection.
fn batches(fate: Fate, connections: u32, mut take: impl FnMut(u32, &Records) -> Result<()>) -> Result<()> {
    let mut records = Records::default();
    for number in 0..connections {
        fate.records(number, &mut records);
        if records.ends.len() >= BATCH || number + 1 == connections {
            take(number + 1, &records)?;
            records.clear();
        }
    }
    Ok(())
}

/// Millions of records that `take` takes in a second of CPU time. They are made a batch before, as those of a ring are
/// in the CPU's caches when they are read; that is not counted.
fn rate(fate: Fate, mut take: impl FnMut(&Records) -> Result<()>) -> Result<f64> {
    let (mut number, mut took) = (0, Duration::ZERO);
    batches(fate, BEFORE + CONNECTIONS, |next, records| {
        let begun = cpu_time()?;
        take(records)?;
        if next > BEFORE {
            took += cpu_time()?.saturating_sub(begun);
            number += records.ends.len();
        }
        Ok(())
    })?;
    Ok(f64::from(u32::try_from(number)?) / took.as_secs_f64() / 1e6)
}

/// The middle, the lowest and the highest of so many rounds.
fn middle(rounds: usize, mut round: impl FnMut() -> Result<f64>) -> Result<[f64; 3]> {
    let mut rates: Vec<f64> = (0..rounds).map(|_| round()).collect::<Result<_>>()?;
    rates.sort_by(f64::total_cmp);
    Ok([rates[rounds / 2], rates[0], rates[rounds - 1]])
}

/// The most memory that this process has had, in KiB.
fn peak() -> Result<u64> {
    Process::myself()?.status()?.vmhwm.context("the kernel does not say")
}

/// KiB that an engine takes, at its peak: while it hears of as many connections as it remembers, of a million, and
/// until nothing waits to be judged any more.
fn memory(fate: Fate) -> Result<[u64; 3]> {
    let mut engine = engine();
    let before = peak()?;
    let mut took = [0; 3];
    let full = u32::try_from(Capacity::default().ends)?;
    let mut at = 0;
    batches(fate, MANY, |next, records| {
        feed(&mut engine, records)?;
        if next <= full {
            took[0] = peak()? - before;
        }
        at = records.last_ns;
        Ok(())
    })?;
    took[1] = peak()? - before;
    for second in 1..=LONG.as_secs() {
        pass(&mut engine, Time(at) + Duration::from_secs(second));
    }
    took[2] = peak()? - before;
    let load = engine.load();
    let told: u64 = load.findings.values().sum();
    ensure!(told == if fate.is_told() { MANY.into() } else { 0 }, "not what is to be told: {load:?}");
    Ok(took)
}

/// [`memory`], of a process of its own: what this one has had is its own.
fn memory_elsewhere(fate: Fate) -> Result<[f64; 3]> {
    let output = Command::new(env::current_exe()?).args(["memory", fate.name()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mib = |kib: &str| Ok(f64::from(kib.parse::<u32>()?) / 1_024.0);
    let took: Vec<f64> = text.split_whitespace().map(mib).collect::<Result<_>>()?;
    took.try_into().ok().context("three figures")
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [what, name] = arguments.as_slice()
        && what == "memory"
    {
        let fate = Fate::ALL.into_iter().find(|fate| fate.name() == name).context("no such fate")?;
        let [full, many, all] = memory(fate)?;
        println!("{full} {many} {all}");
        return Ok(());
    }
    // For a look by `valgrind`, which takes long.
    let rounds = if arguments.iter().any(|argument| argument == "once") { 1 } else { ROUNDS };
    println!("| records, millions a second of CPU time | median | slowest | fastest |\n|---|---:|---:|---:|");
    let row = |what: &str, [median, slowest, fastest]: [f64; 3]| {
        println!("| {what} | {median:.2} | {slowest:.2} | {fastest:.2} |");
    };
    let decoded = |records: &Records| {
        for record in records.iter() {
            drop(black_box(decode(record)));
        }
        Ok(())
    };
    row("decoded, no more", middle(rounds, || rate(Fate::InOrder, decoded))?);
    for fate in [Fate::InOrder, Fate::Reset] {
        let judged = || {
            let mut engine = engine();
            rate(fate, |records| feed(&mut engine, records))
        };
        row(&format!("of connections {}", fate.name()), middle(rounds, judged)?);
    }
    println!(
        "\n| MiB at the peak, connections | 65,536 | 1,000,000 | until all is judged |\n|---|---:|---:|---:|"
    );
    for fate in Fate::ALL {
        let [full, many, all] = memory_elsewhere(fate)?;
        println!("| {} | {full:.0} | {many:.0} | {all:.0} |", fate.name());
    }
    println!(
        "\nOf an end that is in order {} bytes are kept, of one that is not {} more; of an orphan {}.",
        size_of::<pattern::End>(),
        size_of::<pattern::Seen>(),
        size_of::<pattern::Parked>()
    );
    Ok(())
}
