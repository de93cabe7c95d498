//! `bench`: what tcptrace costs, measured in storms of connections over loopback with and without it.

use crate::{
    bench::{
        machine,
        round::{ALTERNATIVES, Round, Sample, Watched, sample},
        storm::{self, Family, Storm},
        table::{HEAD, Row},
    },
    install::{self, Purpose},
    misuse, privilege,
    verb::build::cargo_build,
};
use anyhow::{Result, bail};
use std::{path::Path, process::ExitCode};
use xtask::place;

/// A round is quiet when no more than this share of the CPUs went elsewhere in any of its storms.
const QUIET: f64 = 0.05;
/// For want of quiet, at most this many times the rounds that were asked for are run.
const PATIENCE: usize = 3;
/// Storms under `--probe-stats`.
const PROBED: usize = 5;

/// What was asked for.
struct Plan {
    pairs: usize,
    connections: u32,
}

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let plan = Plan::parse(arguments)?;
    if !privilege::is_root() {
        bail!(
            "this is not root, which loading programs into the kernel needs: {}",
            privilege::as_root(&["cargo xtask bench", &arguments.join(" ")].join(" ")).trim_end()
        );
    }
    eprintln!("{}", plan.announcement());
    install::ensure(Purpose::Building)?;
    if !install::status(cargo_build().arg("--release"))?.success() {
        bail!("tcptrace does not build");
    }
    let program = place::own_target().join("release/tcptrace");
    let (load, overflows) = (machine::load(), machine::time_wait_overflows());
    let mut rows = Vec::new();
    let mut remarks = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        match Storm::prepare(family) {
            Ok(storm) => plan.measure(family, &storm, &program, &mut rows, &mut remarks)?,
            Err(error) => remarks.push(format!("{} was not measured: {error:#}.", family.name())),
        }
    }
    println!("{HEAD}");
    for row in &rows {
        println!("{row}");
    }
    println!("\n{}.", machine::describe());
    println!(
        "{} connections a storm. Load average before: {load}; after: {}.",
        plan.connections,
        machine::load()
    );
    for remark in &remarks {
        println!("{remark}");
    }
    let overflows = machine::time_wait_overflows().saturating_sub(overflows);
    if overflows > 0 {
        println!("{overflows} connections found no room in TIME_WAIT (net.ipv4.tcp_max_tw_buckets).");
    }
    Ok(ExitCode::SUCCESS)
}

impl Plan {
    fn parse(mut arguments: &[&str]) -> Result<Self> {
        let mut plan = Self { pairs: 40, connections: 20_000 };
        while let [flag, value, rest @ ..] = arguments {
            match (*flag, value.parse()) {
                ("--pairs", Ok(pairs @ 1..=1_000)) => plan.pairs = usize::try_from(pairs)?,
                ("--connections", Ok(connections @ 100..=storm::MOST)) => plan.connections = connections,
                _ => break,
            }
            arguments = rest;
        }
        if !arguments.is_empty() {
            return Err(misuse(&format!(
                "bench takes --pairs 1 to 1000 and --connections 100 to {}",
                storm::MOST
            )));
        }
        Ok(plan)
    }

    fn announcement(&self) -> String {
        let Self { pairs, connections } = self;
        let names = ALTERNATIVES.map(|alternative| alternative.name).join(", ");
        format!(
            "bench: builds tcptrace for release. Then, for IPv4 and for IPv6, over this host's loopback:\n  \
             {pairs} rounds of {} storms, {connections} connections each: {names}\n  \
             {PROBED} storms under `watch --json --probe-stats`\n\
             A round while other processes use more than {:.0} % of the CPUs is run again, if possible.\n\
             No setting of the host is changed. On a quiet machine this takes about {} minutes.",
            ALTERNATIVES.len(),
            QUIET * 100.0,
            (pairs * ALTERNATIVES.len() + PROBED).div_ceil(20),
        )
    }

    /// Measures one family, and adds what there is to say of it.
    fn measure(
        &self,
        family: Family,
        storm: &Storm,
        program: &Path,
        rows: &mut Vec<Row>,
        remarks: &mut Vec<String>,
    ) -> Result<()> {
        eprintln!("\nbench: {}: a storm to warm up", family.name());
        storm.run(self.connections)?;
        let mut rounds: Vec<Round> = Vec::new();
        let quiet = |rounds: &[Round]| rounds.iter().filter(|round| round.noise() <= QUIET).count();
        while quiet(&rounds) < self.pairs && rounds.len() < PATIENCE * self.pairs {
            let round = Round::run(rounds.len(), program, storm, self.connections)?;
            eprintln!("{}", progress(family, rounds.len() + 1, self.pairs, &round));
            rounds.push(round);
        }
        let (run, quiet) = (rounds.len(), quiet(&rounds));
        rounds.sort_by(|a, b| a.noise().total_cmp(&b.noise()));
        rounds.truncate(self.pairs);
        remarks.push(format!(
            "{}: the {} quietest of {run} rounds; in {quiet} of all, other processes used at most {:.0} % of the CPUs, \
             in the noisiest that counts {:.1} %.",
            family.name(),
            rounds.len(),
            QUIET * 100.0,
            rounds.iter().map(Round::noise).fold(0.0, f64::max) * 100.0,
        ));
        rows.extend(compared(family, &rounds));
        let mut probed = Vec::new();
        for number in 1..=PROBED {
            let sample = sample(program, Some(&["--probe-stats"]), storm, self.connections)?;
            probed.extend(sample.watched);
            eprintln!("{}: {number} of {PROBED} storms under --probe-stats", family.name());
        }
        rows.extend(probes(family, &probed, self.connections));
        rows.extend(daemon(family, &rounds, self.connections));
        Ok(())
    }
}

fn progress(family: Family, number: usize, of: usize, round: &Round) -> String {
    let [none, watched, elsewhere] = &round.0[..] else { return String::new() };
    format!(
        "{} {number}/{of}: {:.1} µs a connection without, {:.1} ({:+.1} %) watched, {:.1} ({:+.1} %) filtered; \
         {:.0} % of the CPUs elsewhere",
        family.name(),
        none.busy,
        watched.busy,
        (round.ratio(1, |sample| sample.busy) - 1.0) * 100.0,
        elsewhere.busy,
        (round.ratio(2, |sample| sample.busy) - 1.0) * 100.0,
        round.noise() * 100.0,
    )
}

/// A figure of a storm.
type Figure = fn(&Sample) -> f64;

/// What is compared between the alternatives.
fn compared(family: Family, rounds: &[Round]) -> Vec<Row> {
    let figures: [(&str, &str, Figure, &str); 3] = [
        ("CPU time a connection, whole machine", "µs", |sample| sample.busy, "≤ 1.06"),
        ("CPU time a connection, storm and tcptrace", "µs", |sample| sample.own, ""),
        ("connections a second", "1/s", |sample| sample.rate, ""),
    ];
    let row = |(name, unit, figure, goal): (&str, &'static str, Figure, &str), index: usize| {
        let values = rounds.iter().map(|round| figure(&round.0[index])).collect();
        let title = format!("{}: {name}: {}", family.name(), ALTERNATIVES[index].name);
        let row = Row::new(title, unit, values);
        match index {
            0 => row,
            _ => row
                .ratios(rounds.iter().map(|round| round.ratio(index, figure)).collect())
                .goal(if index == 1 { goal } else { "" }),
        }
    };
    let all = |index| move |figure| (figure, index);
    let cells =
        figures.into_iter().flat_map(|figure| (0..ALTERNATIVES.len()).map(move |index| all(index)(figure)));
    cells.map(|(figure, index)| row(figure, index)).collect()
}

/// What the programs cost in the kernel.
fn probes(family: Family, probed: &[Watched], connections: u32) -> Vec<Row> {
    let name = family.name();
    let mut names: Vec<&str> =
        probed.iter().flat_map(|watched| watched.counts.probes.iter().map(|probe| &*probe.name)).collect();
    names.sort_unstable();
    names.dedup();
    let of = |wanted: &str, figure: fn(f64, f64) -> f64| -> Vec<f64> {
        let all = probed.iter().flat_map(|watched| &watched.counts.probes);
        all.filter(|probe| probe.name == wanted).map(|probe| figure(probe.runs, probe.ns)).collect()
    };
    let mut rows = Vec::new();
    for probe in names {
        let runs = of(probe, |runs, _| runs).iter().sum::<f64>();
        let each = runs / f64::from(connections) / f64::from(u32::try_from(probed.len()).unwrap_or(1));
        // What ran less than once in ten connections ran for somebody else.
        if each >= 0.1 {
            let title = format!("{name}: run time of `{probe}`, {each:.1} runs a connection");
            let row = Row::new(title, "ns", of(probe, |runs, ns| ns / runs));
            rows.push(if probe == "state_change" { row.goal("≤ 350") } else { row });
        }
    }
    let whole = probed
        .iter()
        .map(|watched| {
            let ns = watched.counts.probes.iter().map(|probe| probe.ns);
            ns.sum::<f64>() / f64::from(connections)
        })
        .collect();
    rows.push(Row::new(format!("{name}: run time of all probes a connection"), "ns", whole));
    rows
}

/// What the daemon received, lost and used while it watched everything.
fn daemon(family: Family, rounds: &[Round], connections: u32) -> Vec<Row> {
    let of = |figure: &dyn Fn(&Watched) -> f64| -> Vec<f64> {
        rounds.iter().filter_map(|round| round.0[1].watched.as_ref()).map(figure).collect()
    };
    let name = family.name();
    let lost = of(&|watched| watched.counts.lost).iter().sum();
    // Ticks of 10 ms are too coarse for one storm.
    let storms = of(&|_| 1.0).iter().sum::<f64>();
    let user = of(&|watched| watched.user).iter().sum::<f64>() / storms;
    vec![
        Row::new(
            format!("{name}: ring records a connection"),
            "",
            of(&|watched| watched.counts.delivered / f64::from(connections)),
        )
        .goal("≤ 4"),
        Row::new(format!("{name}: events lost, all rounds together"), "", vec![lost]).goal("0"),
        Row::new(format!("{name}: CPU time of the daemon a connection"), "µs", of(&|watched| watched.cpu)),
        Row::new(format!("{name}: of that in user space, mean of all rounds"), "µs", vec![user]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(Plan::parse(&["--pairs", "3", "--connections", "1000"]).is_ok_and(|plan| plan.pairs == 3));
        for wrong in [&["--pairs", "0"][..], &["--pairs"], &["--connections", "1000000"], &["--loud", "3"]] {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
