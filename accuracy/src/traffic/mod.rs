//! Ordinary traffic: nginx, Redis and PostgreSQL, each with its clients in a namespace of its own.

mod http;
mod postgres;
mod redis;
pub(crate) mod server;

pub(crate) use http::Http;
pub(crate) use postgres::Postgres;
pub(crate) use redis::Redis;

use crate::ACTOR;
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use std::{
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tracer::lab::{actor::Program, path::Side, world::World};

/// Between two bursts of a client.
const PAUSE: Duration = Duration::from_millis(500);

/// A server and its clients.
pub(crate) trait Traffic: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> &'static str;
    /// Its place.
    fn host(&self) -> &Host;
    /// Makes about so many connections, each ended in good order; how many it were.
    ///
    /// # Errors
    /// When a reply is missing.
    fn burst(&self, connections: u32) -> Result<u32>;
    /// The connections of a burst of background traffic.
    fn gentle(&self) -> u32;
}

/// A private host with a loopback.
#[derive(Debug)]
pub(crate) struct Host(World);

impl Host {
    pub(crate) fn new() -> Result<Self> {
        World::new(Program::this(&[ACTOR])).map(Self).context("making a namespace")
    }

    /// Does something there, on a thread of its own; what it starts stays there.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.0.namespace(Side::A).enter(work)
    }

    pub(crate) fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.0.namespace(Side::A).set_sysctl(name, value)
    }

    pub(crate) fn namespaces(&self) -> [u32; 2] {
        self.0.inodes()
    }
}

/// Which there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// nginx
    Http,
    /// Redis
    Redis,
    /// PostgreSQL
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Http, Self::Redis, Self::Postgres];

    fn start(self) -> Result<Arc<dyn Traffic>> {
        Ok(match self {
            Self::Http => Arc::new(Http::start()?),
            Self::Redis => Arc::new(Redis::start()?),
            Self::Postgres => Arc::new(Postgres::start()?),
        })
    }
}

/// Starts servers of these kinds.
pub(crate) fn start(kinds: &[Kind]) -> Result<Vec<Arc<dyn Traffic>>> {
    kinds.iter().map(|kind| kind.start()).collect()
}

/// Some with clients that leave the machine most of its time.
pub(crate) struct Background {
    traffic: Vec<Arc<dyn Traffic>>,
    stop: Arc<AtomicBool>,
    clients: Vec<(JoinHandle<Result<()>>, Arc<AtomicU64>)>,
}

impl Background {
    pub(crate) fn start(kinds: &[Kind]) -> Result<Self> {
        let traffic = start(kinds)?;
        let stop = Arc::new(AtomicBool::new(false));
        let client = |traffic: &Arc<dyn Traffic>| {
            let (traffic, stop, made) = (Arc::clone(traffic), Arc::clone(&stop), Arc::new(AtomicU64::new(0)));
            let count = Arc::clone(&made);
            let client = thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let burst = traffic.burst(traffic.gentle()).context(traffic.name())?;
                    count.fetch_add(burst.into(), Ordering::Relaxed);
                    thread::sleep(PAUSE);
                }
                Ok(())
            });
            (client, made)
        };
        let clients = traffic.iter().map(client).collect();
        Ok(Self { traffic, stop, clients })
    }

    pub(crate) fn namespaces(&self) -> Vec<u32> {
        self.traffic.iter().flat_map(|traffic| traffic.host().namespaces()).collect()
    }

    /// Ends it; what it did, for people.
    pub(crate) fn stop(self) -> Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut done = Vec::new();
        for ((client, made), traffic) in self.clients.into_iter().zip(&self.traffic) {
            client.join().map_err(|_| anyhow!("a client of {} panicked", traffic.name()))??;
            done.push(format!("{} {}", made.load(Ordering::Relaxed), traffic.name()));
        }
        Ok(format!("Healthy connections beside it: {}.", done.join(", ")))
    }
}

/// A program in `PATH`, to which `cargo xtask accuracy` adds where Debian keeps its servers.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.with_context(|| format!("there is no {name} here: `cargo xtask accuracy` unpacks Debian's"))
}

/// Runs a command to its end; what it wrote to standard output.
pub(crate) fn said(command: &mut std::process::Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
