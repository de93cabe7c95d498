//! wrk, which ends in the middle of its work: closing with a reply unread makes the kernel send a RST, which it counts.

use crate::{
    Arguments,
    traffic::{Host, Http, Traffic, program, said, server::ADDRESS},
};
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, process::Command};
use tracer::{command::demo::watcher::lost, kernel::counted};
use tracer_common::reconcile::KernelCounter;

/// What it does before it closes: one request a connection, or as many as there is time for.
const KINDS: [&str; 2] = ["close", "keep-alive"];
/// Runs of either kind, each of the shortest time that wrk knows.
const RUNS: usize = 10;
/// Connections that a run has open when it ends.
const CONNECTIONS: u32 = 100;
/// What has to be told of a reply that came before wrk closed …
const UNREAD: &str = "close_with_unread_data";
/// … and of one that came after.
const LATE: &str = "fin_wait2_write_reset";

/// What the kernel counts of it.
struct Counted {
    /// Closes with unread data.
    unread: u64,
    /// Data that met a closed socket, as long as that is not a mere remainder in TIME_WAIT.
    refused: u64,
    /// RSTs of all kinds.
    resets: u64,
}

/// Whether each reset was told, by the right name, and nothing else.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let http = Http::start()?;
    let host = http.host();
    let wrk = program("wrk")?;
    let watcher = arguments.watch(&host.namespaces())?;
    let before = Counted::of(host)?;
    let mut requests = 0;
    for _ in 0..RUNS {
        for kind in KINDS {
            let mut command = Command::new(&wrk);
            command
                .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--duration", "1s"])
                .args(["--header", &format!("Connection: {kind}"), &format!("http://{ADDRESS}/")]);
            let said = host.enter(|| said(&mut command))?;
            requests += answered(&said).with_context(|| format!("wrk said {said:?}"))?;
        }
    }
    let counted = Counted::of(host)?.since(&before);
    let (findings, stop) = watcher.stop()?;
    ensure!(counted.unread > 0, "wrk has read every reply");
    let (mut unread, mut late) = (0, 0);
    let mut other: BTreeMap<String, u64> = BTreeMap::new();
    for finding in findings.into_iter().map(|told| told.record) {
        let count = finding["count"].as_u64().unwrap_or(1);
        match finding["pattern"].as_str() {
            // Where nginx had closed as well nobody is hurt, and it is told as info.
            Some(UNREAD) => unread += count,
            Some(LATE) => late += count,
            _ if finding["severity"] == "info" => {}
            _ => {
                eprintln!("  {finding}");
                *other.entry(finding["pattern"].to_string()).or_default() += count;
            }
        }
    }
    println!("{requests} requests of wrk, which hung up {} times.", RUNS * KINDS.len());
    println!("TCPAbortOnClose: {}; {UNREAD}: {unread}.", counted.unread);
    println!(
        "TCPAbortOnData: {}, other RSTs: {}; {LATE}: {late}.",
        counted.refused,
        counted.resets - counted.unread - counted.refused
    );
    println!("Other findings of warning or above: {other:?}. Records lost: {}.", lost(&stop));
    let right =
        unread == counted.unread && (counted.refused..=counted.resets - counted.unread).contains(&late);
    Ok(right && other.is_empty() && lost(&stop) == 0)
}

impl Counted {
    fn of(host: &Host) -> Result<Self> {
        let all = host.enter(|| counted::Counters::own()?.read())?.counters;
        let of = |counter: KernelCounter| all[counter as usize];
        Ok(Self {
            unread: of(KernelCounter::AbortOnClose),
            refused: of(KernelCounter::AbortOnData),
            resets: of(KernelCounter::OutRsts),
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            unread: self.unread - before.unread,
            refused: self.refused - before.refused,
            resets: self.resets - before.resets,
        }
    }
}

/// The requests that were answered.
fn answered(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted() {
        let said =
            "  Latency     1.05ms  120us\n  70931 requests in 1.01s, 77.79MB read\nRequests/sec: 70230.12\n";
        assert_eq!(answered(said), Some(70_931));
        assert_eq!(answered("unable to connect"), None);
    }
}
