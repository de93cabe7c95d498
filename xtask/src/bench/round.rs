//! One storm without tcptrace and one under each way of watching, close together in time.

use super::{counts::Counts, machine, storm::Storm, watcher::Watcher};
use anyhow::Result;
use std::{path::Path, thread, time::Duration};

/// A storm's surroundings.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) name: &'static str,
    /// What follows `tcptrace watch --json`; None for no tcptrace at all.
    flags: Option<&'static [&'static str]>,
}

/// What is compared. The first is what the others are compared with; port 9 is nobody's in a storm.
pub(crate) const ALTERNATIVES: [Alternative; 3] = [
    Alternative { name: "no tcptrace", flags: None },
    Alternative { name: "`watch --json`", flags: Some(&[]) },
    Alternative { name: "`watch --json --port 9`", flags: Some(&["--port", "9"]) },
];

/// Two ticks of the daemon: what it still does for the storm is then done.
const SETTLE: Duration = Duration::from_millis(20);

/// What a storm cost.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU time of everything on the machine, microseconds a connection.
    pub(crate) busy: f64,
    /// CPU time of the storm's threads and tcptrace, microseconds a connection.
    pub(crate) own: f64,
    /// CPU time of everything else, as a share of all CPUs.
    pub(crate) others: f64,
    /// Connections a second.
    pub(crate) rate: f64,
    /// What tcptrace used and counted, where it ran.
    pub(crate) watched: Option<Watched>,
}

/// What tcptrace used and counted during a storm.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// CPU time of the daemon, microseconds a connection.
    pub(crate) cpu: f64,
    /// CPU time of the daemon in user space, microseconds a connection.
    pub(crate) user: f64,
    pub(crate) counts: Counts,
}

/// One sample of each of [`ALTERNATIVES`], in its order.
pub(crate) struct Round(pub(crate) Vec<Sample>);

impl Round {
    /// Runs it; each round begins with another alternative, so that none always comes first.
    pub(crate) fn run(number: usize, program: &Path, storm: &Storm, connections: u32) -> Result<Self> {
        let mut samples: Vec<_> = ALTERNATIVES.iter().map(|_| None).collect();
        for turn in 0..ALTERNATIVES.len() {
            let index = (number + turn) % ALTERNATIVES.len();
            let flags = ALTERNATIVES[index].flags;
            samples[index] = Some(sample(program, flags, storm, connections)?);
        }
        Ok(Self(samples.into_iter().flatten().collect()))
    }

    /// The share of the CPUs that went elsewhere, in the worst of its storms.
    pub(crate) fn noise(&self) -> f64 {
        self.0.iter().map(|sample| sample.others).fold(0.0, f64::max)
    }

    /// A figure of each alternative, as a ratio to the first.
    pub(crate) fn ratio(&self, index: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        figure(&self.0[index]) / figure(&self.0[0])
    }
}

/// Runs a storm under `watch --json` with these flags, or alone.
pub(crate) fn sample(
    program: &Path,
    flags: Option<&[&str]>,
    storm: &Storm,
    connections: u32,
) -> Result<Sample> {
    let watcher = flags.map(|flags| Watcher::start(program, flags)).transpose()?;
    let clocks = || -> Result<[Duration; 3]> {
        let daemon =
            |read: fn(&Watcher) -> Result<Duration>| watcher.as_ref().map_or(Ok(Duration::ZERO), read);
        Ok([machine::busy()?, daemon(Watcher::cpu)?, daemon(Watcher::user_time)?])
    };
    let before = clocks()?;
    let outcome = storm.run(connections)?;
    thread::sleep(SETTLE);
    let after = clocks()?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(connections);
    let [busy, daemon, user] = [0, 1, 2].map(|clock| after[clock].saturating_sub(before[clock]));
    let own = outcome.cpu + daemon;
    let whole = (outcome.took + SETTLE) * u32::try_from(machine::cpus())?;
    Ok(Sample {
        busy: micros(busy),
        own: micros(own),
        others: busy.saturating_sub(own).as_secs_f64() / whole.as_secs_f64(),
        rate: f64::from(connections) / outcome.took.as_secs_f64(),
        watched: watcher
            .map(|watcher| {
                anyhow::Ok(Watched { cpu: micros(daemon), user: micros(user), counts: watcher.stop()? })
            })
            .transpose()?,
    })
}
