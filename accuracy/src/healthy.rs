//! Healthy connections, as many and as fast as the machine makes them: nothing may be told of them.

use crate::{
    Arguments,
    traffic::{self, Kind, Traffic},
};
use anyhow::{Result, anyhow};
use std::{collections::BTreeMap, sync::Arc, thread, time::Instant};
use tracer::command::demo::watcher::lost;

/// Of a hundred connections, those of HTTP, Redis and PostgreSQL: each connection to the last starts a process.
const SHARES: [u32; 3] = [72, 26, 2];
/// Connections between two looks at the rest of the work.
const BURST: u32 = 2_000;
/// Clients of HTTP; the others bring their own.
const CLIENTS: [usize; 3] = [2, 1, 1];

/// Whether nothing was told.
pub(crate) fn run(arguments: &Arguments, connections: u32) -> Result<bool> {
    let all = traffic::start(&Kind::ALL)?;
    let namespaces: Vec<u32> = all.iter().flat_map(|traffic| traffic.host().namespaces()).collect();
    let watcher = arguments.watch(&namespaces)?;
    let begun = Instant::now();
    let made = thread::scope(|scope| -> Result<Vec<u32>> {
        let mut clients = Vec::new();
        for ((traffic, share), lanes) in all.iter().zip(SHARES).zip(CLIENTS) {
            let wanted = u64::from(connections) * u64::from(share) / 100;
            let each = u32::try_from(wanted)?.div_ceil(u32::try_from(lanes)?);
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(move || many(traffic, each))).collect();
            clients.push(lanes);
        }
        let mut made = Vec::new();
        for lanes in clients {
            let mut sum = 0;
            for lane in lanes {
                sum += lane.join().map_err(|_| anyhow!("a client panicked"))??;
            }
            made.push(sum);
        }
        Ok(made)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let (findings, stop) = watcher.stop()?;
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut remarks = 0;
    for finding in findings.into_iter().map(|told| told.record) {
        let count = finding["count"].as_u64().unwrap_or(1);
        if finding["severity"] == "info" {
            remarks += count;
        } else {
            eprintln!("  {finding}");
            *told.entry(finding["pattern"].to_string()).or_default() += count;
        }
    }
    let sum: u32 = made.iter().sum();
    let each: Vec<String> =
        made.iter().zip(&all).map(|(made, traffic)| format!("{made} {}", traffic.name())).collect();
    println!("{sum} healthy connections in {seconds:.0} s: {}.", each.join(", "));
    println!("Findings of warning or above: {} {told:?}; of info: {remarks}.", told.values().sum::<u64>());
    println!("Records lost: {}; delivered: {}.", lost(&stop), stop["delivered"]);
    let (user, kernel) = (&stop["user_cpu_seconds"], &stop["system_cpu_seconds"]);
    println!("CPU of the watcher: {user} s user, {kernel} s kernel.");
    Ok(told.is_empty() && lost(&stop) == 0)
}

/// As many connections, in bursts.
fn many(traffic: &Arc<dyn Traffic>, connections: u32) -> Result<u32> {
    let mut made = 0;
    while made < connections {
        made += traffic.burst(BURST.min(connections - made))?;
    }
    Ok(made)
}
