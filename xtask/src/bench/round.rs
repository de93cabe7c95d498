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
pub(crate) struct Alternative<'a> {
    pub(crate) name: &'a str,
    /// What follows `tcptrace watch --json`; None for no tcptrace at all.
    pub(crate) flags: Option<&'a [&'a str]>,
}

/// What watches while a load runs; it is ended when this is dropped.
pub(crate) trait Beside {
    /// CPU time so far, user space and kernel.
    fn cpu(&self) -> Result<Duration>;
    /// CPU time in user space so far.
    fn user_time(&self) -> Result<Duration>;
    /// CPU time so far of what reads its output, where that is a process of its own.
    fn reader(&self) -> Result<Duration> {
        Ok(Duration::ZERO)
    }
    /// Ends it in good order; what it counted.
    fn stop(self: Box<Self>) -> Result<Counts>;
}

/// Two ticks of the daemon: what it still does for the load is then done.
const SETTLE: Duration = Duration::from_millis(20);

/// What a load cost.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU time of everything on the machine, microseconds a unit of the load.
    pub(crate) busy: f64,
    /// CPU time of the load and of what watches, microseconds a unit.
    pub(crate) own: f64,
    /// CPU time of everything else, as a share of all CPUs.
    pub(crate) others: f64,
    /// Units a second.
    pub(crate) rate: f64,
    /// What watched used and counted, where anything did.
    pub(crate) watched: Option<Watched>,
}

/// What tcptrace, or another tool, used and counted during a load.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// CPU time of its process, microseconds a unit.
    pub(crate) cpu: f64,
    /// CPU time of its process in user space, microseconds a unit.
    pub(crate) user: f64,
    pub(crate) counts: Counts,
}

/// One sample of each alternative, in their order.
pub(crate) struct Round(pub(crate) Vec<Sample>);

impl Round {
    /// Runs it; each round begins with another alternative, so that none always comes first.
    pub(crate) fn run(
        number: usize,
        alternatives: usize,
        take: &dyn Fn(usize) -> Result<Sample>,
    ) -> Result<Self> {
        let mut samples: Vec<_> = (0..alternatives).map(|_| None).collect();
        for turn in 0..alternatives {
            let index = (number + turn) % alternatives;
            samples[index] = Some(take(index)?);
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
    sample_beside(watcher.map(|watcher| Box::new(watcher) as Box<dyn Beside>), load)
}

/// Runs a load beside what watches it already, and ends that; or alone.
pub(crate) fn sample_beside(beside: Option<Box<dyn Beside>>, load: &dyn Load) -> Result<Sample> {
    let clocks = || -> Result<[Duration; 4]> {
        let daemon =
            |read: fn(&dyn Beside) -> Result<Duration>| beside.as_deref().map_or(Ok(Duration::ZERO), read);
        Ok([
            machine::busy()?,
            daemon(|it| it.cpu())?,
            daemon(|it| it.user_time())?,
            daemon(|it| it.reader())?,
        ])
    };
    let begin = Instant::now();
    let before = clocks()?;
    let outcome = load.run()?;
    thread::sleep(SETTLE);
    let after = clocks()?;
    let whole = begin.elapsed() * u32::try_from(machine::cpus())?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / outcome.units;
    let [busy, daemon, user, reader] = [0, 1, 2, 3].map(|clock| after[clock].saturating_sub(before[clock]));
    let own = outcome.cpu + daemon + reader;
    Ok(Sample {
        busy: micros(busy),
        own: micros(own),
        others: busy.saturating_sub(own).as_secs_f64() / whole.as_secs_f64(),
        rate: outcome.units / outcome.took.as_secs_f64(),
        watched: beside
            .map(|beside| {
                anyhow::Ok(Watched { cpu: micros(daemon), user: micros(user), counts: beside.stop()? })
            })
            .transpose()?,
    })
}
