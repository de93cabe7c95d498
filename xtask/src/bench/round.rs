//! One load without tcptrace and one beside each way of watching, close together in time.

use super::{counts::Counts, load::Load, machine, watcher::Watcher};
use anyhow::Result;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// A load's surroundings.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) name: &'static str,
    /// What follows `tcptrace watch --json`; None for no tcptrace at all.
    pub(crate) flags: Option<&'static [&'static str]>,
}

/// Two ticks of the daemon: what it still does for the load is then done.
const SETTLE: Duration = Duration::from_millis(20);

/// What a load cost.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU time of everything on the machine, microseconds a unit of the load.
    pub(crate) busy: f64,
    /// CPU time of the load and tcptrace, microseconds a unit.
    pub(crate) own: f64,
    /// CPU time of everything else, as a share of all CPUs.
    pub(crate) others: f64,
    /// Units a second.
    pub(crate) rate: f64,
    /// What tcptrace used and counted, where it ran.
    pub(crate) watched: Option<Watched>,
}

/// What tcptrace used and counted during a load.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// CPU time of the daemon, microseconds a unit.
    pub(crate) cpu: f64,
    /// CPU time of the daemon in user space, microseconds a unit.
    pub(crate) user: f64,
    pub(crate) counts: Counts,
}

/// One sample of each alternative, in their order.
pub(crate) struct Round(pub(crate) Vec<Sample>);

impl Round {
    /// Runs it; each round begins with another alternative, so that none always comes first.
    pub(crate) fn run(
        number: usize,
        alternatives: &[Alternative],
        program: &Path,
        load: &dyn Load,
    ) -> Result<Self> {
        let mut samples: Vec<_> = alternatives.iter().map(|_| None).collect();
        for turn in 0..alternatives.len() {
            let index = (number + turn) % alternatives.len();
            samples[index] = Some(sample(program, alternatives[index].flags, load)?);
        }
        Ok(Self(samples.into_iter().flatten().collect()))
    }

    /// The share of the CPUs that went elsewhere, in the worst of its samples.
    pub(crate) fn noise(&self) -> f64 {
        self.0.iter().map(|sample| sample.others).fold(0.0, f64::max)
    }

    /// A figure of an alternative, as a ratio to the first.
    pub(crate) fn ratio(&self, index: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        figure(&self.0[index]) / figure(&self.0[0])
    }
}

/// Runs a load beside `watch --json` with these flags, or alone.
pub(crate) fn sample(program: &Path, flags: Option<&[&str]>, load: &dyn Load) -> Result<Sample> {
    let watcher = flags.map(|flags| Watcher::start(program, flags)).transpose()?;
    let clocks = || -> Result<[Duration; 3]> {
        let daemon =
            |read: fn(&Watcher) -> Result<Duration>| watcher.as_ref().map_or(Ok(Duration::ZERO), read);
        Ok([machine::busy()?, daemon(Watcher::cpu)?, daemon(Watcher::user_time)?])
    };
    let begin = Instant::now();
    let before = clocks()?;
    let outcome = load.run()?;
    thread::sleep(SETTLE);
    let after = clocks()?;
    let whole = begin.elapsed() * u32::try_from(machine::cpus())?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / outcome.units;
    let [busy, daemon, user] = [0, 1, 2].map(|clock| after[clock].saturating_sub(before[clock]));
    let own = outcome.cpu + daemon;
    Ok(Sample {
        busy: micros(busy),
        own: micros(own),
        others: busy.saturating_sub(own).as_secs_f64() / whole.as_secs_f64(),
        rate: outcome.units / outcome.took.as_secs_f64(),
        watched: watcher
            .map(|watcher| {
                anyhow::Ok(Watched { cpu: micros(daemon), user: micros(user), counts: watcher.stop()? })
            })
            .transpose()?,
    })
}
