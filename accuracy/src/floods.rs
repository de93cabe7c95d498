//! A scan of all ports and a flood of SYNs from addresses that nobody has, and what they cost the watcher.

use crate::{ACTOR, Arguments};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};
use tracer::{
    command::demo::watcher::lost,
    kernel::counted::Counters,
    lab::{
        actor::{Domain, Program},
        path::{Family, Medium, Path, Side},
        world::World,
    },
};
use tracer_common::reconcile::KernelCounter;

/// SYNs in all, and a second: far more than a service gets, far less than a CPU can make.
const SYNS: u32 = 200_000;
const RATE: u32 = 20_000;
/// SYNs between two looks at the clock.
const VOLLEY: u32 = 200;
/// The connections that a service lets wait.
const BACKLOG: i32 = 128;
/// After this time everything that a flood has caused is told.
const SETTLE: Duration = Duration::from_secs(2);
/// Lines that say what a flood is, at most, whatever its size.
const LINES: u64 = 200;
/// Resets without a socket that the kernel programs let pass in a second on a CPU, at most.
const PASS: u64 = 1_000;

/// Shows what it costs; fails when a number does not add up, records are lost or lines are too many.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let world = World::new(Program::this(&[ACTOR]))?;
    let mut scan = measure("scan of 65535 ports", &world, arguments, || {
        world.namespace(Side::A).enter(|| {
            // From 127.0.0.1: a socket whose port is chosen as the very one it asks for would reach itself.
            let connect = |port| TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port));
            let refused = (1..=u16::MAX).filter(|port| connect(*port).is_err()).count();
            ensure!(refused == usize::from(u16::MAX), "{refused} ports refused");
            Ok(())
        })
    })?;
    let all = u64::from(u16::MAX);
    scan.expect("resets that the kernel counted", scan.resets, all..=all);
    scan.expect("refusals that were found", scan.found("connection_refused"), all..=all);
    scan.expect("refusals that the lines tell of", scan.told("connection_refused"), all..=all);
    let world = World::with_router(Program::this(&[ACTOR]))?;
    let path = Path::new(Medium::Routed, Family::V4);
    let mut server = world.actor(Side::B, "lab-server")?;
    let any = path.address(Side::B, 0);
    let listener = server.socket(Domain::of(any))?;
    server.bind(listener, any)?;
    server.listen(listener, BACKLOG)?;
    let open = server.local_address(listener)?;
    // Free, as nobody else is here.
    let closed = SocketAddr::new(open.ip(), open.port() ^ 1);
    let mut to_open = measure("SYN flood to a listener", &world, arguments, || flood(&world, open))?;
    let answered = u64::from(SYNS);
    to_open.expect(
        "SYNs without a place in the queue that the lines tell of",
        to_open.told("syn_queue_overflow"),
        answered / 2..=answered,
    );
    let mut to_closed = measure("SYN flood to a closed port", &world, arguments, || flood(&world, closed))?;
    to_closed.expect("resets that the kernel counted", to_closed.resets, answered..=answered);
    let problems: Vec<String> =
        [scan, to_open, to_closed].into_iter().flat_map(|flood| flood.problems).collect();
    for problem in &problems {
        println!("{problem}");
    }
    Ok(problems.is_empty())
}

/// What a flood has cost, and what is wrong with that.
struct Flood {
    name: &'static str,
    /// The sums of the counts in the lines, by pattern.
    told: BTreeMap<String, u64>,
    /// The last record.
    stop: Value,
    /// RSTs sent, as the kernel counts them.
    resets: u64,
    problems: Vec<String>,
}

impl Flood {
    /// Findings of a pattern, as the last record counts them.
    fn found(&self, id: &str) -> u64 {
        self.stop["findings"][id].as_u64().unwrap_or(0)
    }

    fn told(&self, id: &str) -> u64 {
        self.told.get(id).copied().unwrap_or(0)
    }

    /// Notes a number that is not as it should be.
    fn expect(&mut self, what: &str, is: u64, should: RangeInclusive<u64>) {
        if !should.contains(&is) {
            self.problems.push(format!("{}: {what}: {is}, not {should:?}", self.name));
        }
    }
}

/// Runs a flood beside a watcher of the world's hosts, and prints what it cost.
fn measure(
    name: &'static str,
    world: &World,
    arguments: &Arguments,
    flood: impl FnOnce() -> Result<()>,
) -> Result<Flood> {
    let watcher = arguments.watch(&world.inodes())?;
    let pid = watcher.pid();
    let (before, resets) = (memory(pid)?, resets(world)?);
    let begun = Instant::now();
    flood()?;
    let took = begun.elapsed();
    thread::sleep(SETTLE);
    let peak = memory(pid)?;
    let resets = self::resets(world)? - resets;
    let (findings, stop) = watcher.stop()?;
    let mut told = BTreeMap::<String, u64>::new();
    for finding in findings.into_iter().map(|told| told.record) {
        let id = finding["pattern"].as_str().unwrap_or("?").to_owned();
        *told.entry(id).or_default() += finding["count"].as_u64().unwrap_or(1);
    }
    println!(
        "{name}, {:.1} s\n  CPU of the watcher {} s user, {} s kernel; memory {before} MiB before, {} MiB more at most\n  \
         {} lines written, which tell of {told:?}; RSTs counted by the kernel {resets}\n  \
         seen {}, delivered {}, suppressed {}, lost {}",
        took.as_secs_f64(),
        stop["user_cpu_seconds"],
        stop["system_cpu_seconds"],
        peak - before,
        stop["seq"],
        stop["seen"],
        stop["delivered"],
        stop["suppressed"],
        stop["lost"],
    );
    let count = |value: &Value| value.as_u64().context("a number is missing in the last record");
    let (lines, delivered) = (count(&stop["seq"])?, count(&stop["delivered"])?);
    let (received, limited) = (count(&stop["received"])?, count(&stop["suppressed"]["reset_flood"])?);
    let lost = lost(&stop);
    let mut flood = Flood { name, told, stop, resets, problems: Vec::new() };
    flood.expect("records lost", lost, 0..=0);
    flood.expect("lines", lines, 1..=LINES);
    flood.expect("records read", received, delivered..=u64::MAX);
    // Each reset of a flood has no socket: it was handed over, or was left out and counted.
    let passed = resets.saturating_sub(limited);
    let cpus = u64::try_from(thread::available_parallelism()?.get())?;
    flood.expect("resets left out", limited, resets.saturating_sub(delivered)..=resets);
    flood.expect("resets handed over", passed, 0..=PASS * cpus * (took.as_secs() + 2));
    Ok(flood)
}

/// How many RSTs both hosts have sent.
fn resets(world: &World) -> Result<u64> {
    [Side::A, Side::B].into_iter().try_fold(0, |sum, side| {
        let counted = world.namespace(side).enter(|| Counters::own()?.read())?;
        Ok(sum + counted.counters[KernelCounter::OutRsts as usize])
    })
}

/// The most memory a process has had so far, MiB.
fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("looking at the watcher")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).context("the kernel does not tell memory")?;
    Ok(kib.parse::<u64>()? / 1_024)
}

/// SYNs from everywhere in the router's network, with a bounded rate.
fn flood(world: &World, to: SocketAddr) -> Result<()> {
    let mut rng = Rng::with_seed(1);
    let begun = Instant::now();
    let pause = Duration::from_secs(1) / RATE * VOLLEY;
    for volley in 0..SYNS / VOLLEY {
        for _ in 0..VOLLEY {
            // The network's hosts have other numbers.
            let source = IpAddr::V4(Ipv4Addr::new(10, 77, 2, rng.u8(100..=250)));
            world.router()?.syn(SocketAddr::new(source, rng.u16(1_024..)), to, rng.u32(..))?;
        }
        let due = begun + pause * (volley + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
