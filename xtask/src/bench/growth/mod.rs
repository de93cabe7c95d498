//! Whether a connection costs more where more connections live, and where there are more filters.

pub(crate) mod holder;

use super::{
    part::Size,
    round::{Alternative, Beside as _, Round, Sample, sample, sample_beside},
    series,
    storm::{Family, Storm},
    table::Row,
    trial::{Figure, Report, Trial},
    watcher::Watcher,
};
use anyhow::{Context as _, Result, ensure};
use holder::Held;
use std::{
    cell::RefCell,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Connections that live beside a storm.
const LIVE: &[u32] = &[1_000, 10_000, 100_000];
/// Ports, or ranges of ports, of a filter.
const FILTERS: &[u16] = &[1, 4, 16];

const FIGURES: &[Figure] = &[
    Figure {
        name: "CPU time a connection, storm and tcptrace",
        unit: "µs",
        of: |sample| sample.own,
        goals: &[],
    },
    Figure {
        name: "CPU time a connection, whole machine", unit: "µs", of: |sample| sample.busy, goals: &[]
    },
];
/// What growth is told by: it holds on a busy machine too.
const OWN: fn(&Sample) -> f64 = |sample| sample.own;

/// How often it is looked whether the daemon has nothing to do any more; it tells nobody.
const PERIOD: Duration = Duration::from_millis(200);
/// What an idle daemon may use in that time.
const IDLE: Duration = Duration::from_millis(2);
/// Looking through everything takes a second on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rounds, and connections of a storm.
fn asked(size: Size) -> (usize, u32) {
    (size.pairs.unwrap_or(10), size.connections.unwrap_or(20_000))
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let (pairs, connections) = asked(size);
    format!(
        "{pairs} rounds of storms of {connections} connections, with and without `watch --json`, beside {LIVE:?} live \
         connections\n  {pairs} rounds of such storms under {FILTERS:?} filters by port that want them, and as many \
         that do not"
    )
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    1 + (asked(size).0 * (LIVE.len() * 2 + FILTERS.len() * 2 + 1)).div_ceil(20)
}

/// Measures both.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let (pairs, connections) = asked(size);
    let storm = Storm::prepare(Family::Ipv4, connections)?;
    filters(&storm, pairs, program, report).context("under filters")?;
    live(&storm, pairs, program, report).context("beside live connections")?;
    report.remarks.push(format!("{connections} connections a storm."));
    Ok(())
}

fn live(storm: &Storm, pairs: usize, program: &Path, report: &mut Report) -> Result<()> {
    let alternatives = [
        Alternative { name: "no tcptrace", flags: None },
        Alternative { name: "`watch --json`", flags: Some(&[]) },
    ];
    let mut held = Held::default();
    let mut medians = Vec::new();
    for live in LIVE {
        held.raise_to(*live)?;
        let name = format!("{live} live connections");
        let trial = Trial { name: &name, load: storm, alternatives: &alternatives, figures: FIGURES };
        let starts = RefCell::new(Vec::new());
        let rounds = trial.run_with(pairs, report, &|index| match alternatives[index].flags {
            None => sample(program, None, storm),
            Some(flags) => {
                let watcher = Watcher::start(program, flags)?;
                starts.borrow_mut().push(settle(&watcher)?.as_secs_f64() * 1e3);
                sample_beside(Some(Box::new(watcher)), storm)
            }
        })?;
        let title = format!("{name}: CPU time of the daemon until it has looked through them once");
        report.rows.push(Row::new(title, "ms", starts.into_inner()));
        let ratios: Vec<f64> = rounds.iter().map(|round| round.ratio(1, OWN)).collect();
        medians.extend(series::spread(&ratios).map(|spread| spread.median));
    }
    for (live, median) in LIVE.iter().zip(&medians).skip(1) {
        let title = format!("{live} live connections: ratio over that beside {}", LIVE[0]);
        report.rows.push(Row::new(title, "", vec![median / medians[0]]).goal("1.00"));
    }
    Ok(())
}

/// Waits until the daemon has looked through what there was when it came; what it has used by then.
fn settle(watcher: &Watcher) -> Result<Duration> {
    let until = Instant::now() + PATIENCE;
    let mut used = watcher.cpu()?;
    loop {
        thread::sleep(PERIOD);
        let before = std::mem::replace(&mut used, watcher.cpu()?);
        if used.saturating_sub(before) <= IDLE {
            return Ok(used);
        }
        ensure!(Instant::now() < until, "tcptrace is never idle");
    }
}

fn filters(storm: &Storm, pairs: usize, program: &Path, report: &mut Report) -> Result<()> {
    let ports = storm.ports()?;
    let (first, last) = ports.first().zip(ports.last()).context("a storm listens")?;
    let own = format!("{first}-{last}");
    let names = FILTERS.iter().map(|entries| {
        let name = |kind: &str| format!("`--port` of {entries}, storm {kind}");
        [(name("wanted"), within(*entries, &own)), (name("not wanted"), other(*entries))]
    });
    let filters: Vec<(String, String)> = names.flatten().collect();
    let flags: Vec<[&str; 2]> = filters.iter().map(|(_, ports)| ["--port", ports]).collect();
    let filtered = filters.iter().zip(&flags);
    let alternatives: Vec<Alternative> = [Alternative { name: "no tcptrace", flags: None }]
        .into_iter()
        .chain(filtered.map(|((name, _), flags)| Alternative { name, flags: Some(flags) }))
        .collect();
    let trial = Trial { name: "filter", load: storm, alternatives: &alternatives, figures: FIGURES };
    let rounds = trial.run(pairs, program, report)?;
    // Behind no tcptrace: both kinds of each size in turn.
    for (kind, what) in [(1, "wanted"), (2, "not wanted")] {
        let (one, most) = (kind, kind + 2 * (FILTERS.len() - 1));
        let title = format!("filter, storm {what}: {} ports over {}", FILTERS[FILTERS.len() - 1], FILTERS[0]);
        report.rows.push(Row::new(title, "", between(&rounds, most, one, OWN)).goal("1.00"));
    }
    Ok(())
}

/// A figure of an alternative over that of another, round by round.
fn between(rounds: &[Round], index: usize, other: usize, figure: fn(&Sample) -> f64) -> Vec<f64> {
    rounds.iter().map(|round| figure(&round.0[index]) / figure(&round.0[other])).collect()
}

/// So many entries, of which the last wants the storm.
fn within(entries: u16, own: &str) -> String {
    let others = (1..entries).map(|port| port.to_string());
    others.chain([own.to_owned()]).collect::<Vec<_>>().join(",")
}

/// So many entries that are nobody's in a storm.
fn other(entries: u16) -> String {
    (1..=entries).map(|port| port.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_as_many_entries_as_it_says() {
        assert_eq!(within(1, "40000-40001"), "40000-40001");
        assert_eq!(within(4, "40000-40001"), "1,2,3,40000-40001");
        assert_eq!(other(4), "1,2,3,4");
    }
}
