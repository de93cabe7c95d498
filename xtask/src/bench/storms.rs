//! Storms of connections, of each address family: what is measured in them.

use super::{
    part::Size,
    round::{Alternative, Round, Watched, sample},
    storm::{Family, Storm},
    table::Row,
    trial::{Figure, Report, Trial},
};
use anyhow::Result;
use std::path::Path;

/// What is compared; port 9 is nobody's in a storm.
const ALTERNATIVES: &[Alternative] = &[
    Alternative { name: "no tcptrace", flags: None },
    Alternative { name: "`watch --json`", flags: Some(&[]) },
    Alternative { name: "`watch --json --port 9`", flags: Some(&["--port", "9"]) },
];

/// What a connection of a storm costs; the first alternative after none is to cost no more than this.
pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "CPU time a connection, whole machine",
        unit: "µs",
        of: |sample| sample.busy,
        goals: &["≤ 1.06"],
    },
    Figure {
        name: "CPU time a connection, storm and what watches it",
        unit: "µs",
        of: |sample| sample.own,
        goals: &[],
    },
    Figure { name: "connections a second", unit: "1/s", of: |sample| sample.rate, goals: &[] },
];

/// Storms under `--probe-stats`.
const PROBED: usize = 5;

/// Rounds, and connections of a storm.
fn asked(size: Size) -> (usize, u32) {
    (size.pairs.unwrap_or(40), size.connections.unwrap_or(20_000))
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let (pairs, connections) = asked(size);
    let names: Vec<&str> = ALTERNATIVES.iter().map(|alternative| alternative.name).collect();
    format!(
        "for IPv4 and for IPv6, over this host's loopback:\n  \
         {pairs} rounds of {} storms, {connections} connections each: {}\n  \
         {PROBED} storms under `watch --json --probe-stats`",
        names.len(),
        names.join(", "),
    )
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    (asked(size).0 * ALTERNATIVES.len() + PROBED).div_ceil(20)
}

/// Measures both families, as far as they are there.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let (pairs, connections) = asked(size);
    for family in [Family::Ipv4, Family::Ipv6] {
        match Storm::prepare(family, connections) {
            Ok(storm) => measure_family(family, &storm, pairs, connections, program, report)?,
            Err(error) => report.remarks.push(format!("{} was not measured: {error:#}.", family.name())),
        }
    }
    report.remarks.push(format!("{connections} connections a storm."));
    Ok(())
}

fn measure_family(
    family: Family,
    storm: &Storm,
    pairs: usize,
    connections: u32,
    program: &Path,
    report: &mut Report,
) -> Result<()> {
    let trial = Trial { name: family.name(), load: storm, alternatives: ALTERNATIVES, figures: FIGURES };
    let rounds = trial.run(pairs, program, report)?;
    let mut probed = Vec::new();
    for number in 1..=PROBED {
        probed.extend(sample(program, Some(&["--probe-stats"]), storm)?.watched);
        eprintln!("{}: {number} of {PROBED} storms under --probe-stats", family.name());
    }
    report.rows.extend(probes(family, &probed, connections));
    report.rows.extend(daemon(family, &rounds, connections));
    Ok(())
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
            rows.push(if probe == "state_change" { row.goal("≤ 180") } else { row });
        }
    }
    let whole = probed
        .iter()
        .map(|watched| {
            let ns = watched.counts.probes.iter().map(|probe| probe.ns);
            ns.sum::<f64>() / f64::from(connections)
        })
        .collect();
    rows.push(Row::new(format!("{name}: run time of all probes a connection"), "ns", whole).goal("≤ 2,000"));
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
