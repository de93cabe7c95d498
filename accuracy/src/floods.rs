//! A scan of all ports and a flood of SYNs from addresses that nobody has, and what they cost the watcher.

use crate::{ACTOR, Arguments, traffic::Host};
use anyhow::{Context, Result};
use fastrand::Rng;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use tracer::{
    command::demo::watcher::{Watcher, lost},
    lab::{
        actor::Program,
        path::{Family, Medium, Path, Side},
        world::World,
    },
};

/// SYNs in all, and a second: far more than a service gets, far less than a CPU can make.
const SYNS: u32 = 200_000;
const RATE: u32 = 20_000;
/// SYNs between two looks at the clock.
const VOLLEY: u32 = 200;
/// After this time everything that a flood has caused is told.
const SETTLE: Duration = Duration::from_secs(2);

/// Shows what it costs; fails when records are lost.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let host = Host::new()?;
    let scan = measure("scan of 65535 ports", &host.namespaces(), arguments, || {
        host.enter(|| {
            let ports = 1..=u16::MAX;
            let connect = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            Ok(format!("{} refused", ports.filter(|port| connect(*port).is_err()).count()))
        })
    })?;
    let world = World::with_router(Program::this(&[ACTOR]))?;
    let path = Path::new(Medium::Routed, Family::V4);
    let listen = |port| {
        let address = path.address(Side::B, port);
        let listen = || TcpListener::bind(address).context("listening");
        world.namespace(Side::B).enter(listen)
    };
    let listener = listen(0)?;
    let open = listener.local_addr().context("asking for the port")?;
    // Free, as nobody else is here.
    let closed = SocketAddr::new(open.ip(), open.port() ^ 1);
    let to_open = measure("SYN flood to a listener", &world.inodes(), arguments, || flood(&world, open))?;
    let to_closed =
        measure("SYN flood to a closed port", &world.inodes(), arguments, || flood(&world, closed))?;
    Ok(scan && to_open && to_closed)
}

/// Runs a flood beside a watcher of these namespaces, and prints what it cost; whether nothing was lost.
fn measure(
    name: &str,
    namespaces: &[u32],
    arguments: &Arguments,
    flood: impl FnOnce() -> Result<String>,
) -> Result<bool> {
    let flags: Vec<String> =
        namespaces.iter().flat_map(|inode| ["--netns".to_owned(), inode.to_string()]).collect();
    let watcher = Watcher::start(&arguments.program, &flags)?;
    let pid = watcher.pid();
    let before = memory(pid)?;
    let begun = Instant::now();
    let done = flood()?;
    let took = begun.elapsed();
    thread::sleep(SETTLE);
    let peak = memory(pid)?;
    let (findings, stop) = watcher.stop()?;
    let mut by_id = std::collections::BTreeMap::<String, u64>::new();
    for told in &findings {
        *by_id.entry(told.record["pattern"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
    }
    println!(
        "{name}: {done} in {:.1} s\n  CPU of the watcher {} s user, {} s kernel; memory {before} before, {peak} at \
         most; {} lines written, findings {by_id:?}\n  seen {}, delivered {}, suppressed {}, lost {} {}",
        took.as_secs_f64(),
        stop["user_cpu_seconds"],
        stop["system_cpu_seconds"],
        stop["seq"],
        stop["seen"],
        stop["delivered"],
        stop["suppressed"],
        lost(&stop),
        stop["lost"],
    );
    Ok(lost(&stop) == 0)
}

/// The most memory a process has had so far.
fn memory(pid: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("looking at the watcher")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.context("the kernel does not tell memory")?.trim().to_owned())
}

/// SYNs from everywhere in the router's network, with a bounded rate.
fn flood(world: &World, to: SocketAddr) -> Result<String> {
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
    Ok(format!("{SYNS} SYNs"))
}
