//! 20,000 connections against nginx with one planted fault per hundred: every fault is told with the right process,
//! nothing else of warning or above is, and no record is lost.

#[path = "nginx/fault.rs"]
mod fault;
#[path = "nginx/load.rs"]
mod load;
#[path = "nginx/server.rs"]
mod server;
#[path = "nginx/verdict.rs"]
mod verdict;
#[path = "nginx/watch.rs"]
mod watch;

use anyhow::{Context, Result, anyhow};
use fault::{Fault, Planter};
use nix::unistd::Uid;
use server::{Folder, Nginx};
use std::{net::IpAddr, path::Path, thread, time::Duration};
use tracer::lab::{
    actor::Program,
    path::{Family, Medium, Path as Way, Side},
    world::World,
};
use verdict::Verdict;
use watch::Watch;

/// Threads that load nginx at the same time.
const THREADS: usize = 4;
/// Each of them does so many times [`HEALTHY`] connections and a fault.
const ROUNDS: usize = 50;
/// Connections without a fault before each that has one.
const HEALTHY: usize = 99;
/// Sockets in CLOSE_WAIT count as a leak after this time; nobody here keeps one so long.
const LEAK_AFTER: Duration = Duration::from_secs(5);
/// A finding that is told for what does not happen any more would have come by then.
const QUIET: Duration = Duration::from_secs(8);

#[test]
fn every_fault_among_20000_connections_is_told_and_nothing_else() {
    if !Uid::effective().is_root() {
        println!("SKIP nginx: network namespaces and probes need root");
        return;
    }
    let Some(program) = server::program() else {
        println!("SKIP nginx: there is no nginx here; `cargo xtask setup` brings it");
        return;
    };
    let verdict = run(&program).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{}", verdict.summary());
    assert!(verdict.problems.is_empty(), "{}\n{}", verdict.summary(), verdict.problems.join("\n"));
    assert_eq!(verdict.connections, THREADS * ROUNDS * (HEALTHY + 1));
    assert_eq!(verdict.planted, THREADS * ROUNDS);
}

fn run(program: &Path) -> Result<Verdict> {
    let folder = Folder::new()?;
    let tcptrace = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let world = World::new(tcptrace).context("making a private network namespace")?;
    let namespace = world.namespace(Side::A);
    let hosts: Vec<IpAddr> = [Family::V4, Family::V6]
        .map(|family| Way::new(Medium::Loopback, family))
        .into_iter()
        .filter(|way| world.has(*way))
        .map(|way| way.address(Side::A, 0).ip())
        .collect();
    let nginx = Nginx::start(program, &folder, namespace, &hosts)?;
    let planters: Result<Vec<Planter>> =
        (0..THREADS).map(|number| Planter::new(&world, number, &hosts)).collect();
    let planters = planters.context("starting those who plant faults")?;
    let watch = Watch::start(namespace.inode(), LEAK_AFTER, &folder)?;

    let play = |mut planter: Planter| -> Result<(Planter, Vec<Fault>)> {
        let mut faults = Vec::new();
        namespace.enter(|| {
            for round in 0..ROUNDS {
                for turn in 0..HEALTHY {
                    load::request(hosts[turn % hosts.len()], turn)
                        .with_context(|| format!("connection {turn} of round {round}"))?;
                }
                faults.push(
                    planter.plant(round, namespace).with_context(|| format!("fault of round {round}"))?,
                );
            }
            Ok(())
        })?;
        Ok((planter, faults))
    };
    let played = thread::scope(|scope| {
        let threads: Vec<_> = planters.into_iter().map(|planter| scope.spawn(|| play(planter))).collect();
        let done =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        done.collect::<Result<Vec<_>>>()
    })?;
    // The planters hold sockets, and their end is not to be watched.
    let (planters, faults): (Vec<Planter>, Vec<Vec<Fault>>) = played.into_iter().unzip();
    let faults = faults.concat();
    let records = watch.finish(QUIET)?;
    drop(planters);
    let witness = nginx.testimony(&faults)?;
    let connections = THREADS * ROUNDS * HEALTHY + faults.len();
    Ok(Verdict::of(&records, &faults, &witness, namespace.inode(), connections))
}
