//! tcptrace beside other tools that show TCP connections, in the same rounds.

mod programs;
mod running;
mod tool;

use super::{
    counts::Probe,
    part::Size,
    round::{Alternative, Beside, Round, Watched, sample, sample_beside},
    storm::{Family, Storm},
    storms::FIGURES,
    table::Row,
    trial::{Report, Trial},
    watcher::Watcher,
};
use anyhow::{Context as _, Result};
use running::Running;
use std::path::Path;
use tool::{TOOLS, Tool};

/// Storms under BPF statistics.
const PROBED: usize = 5;
/// As few programs as can be, all of them filtered: as long as it runs, the kernel measures every program's run time.
const STATISTICS: &[&str] =
    &["--probe-stats", "--port", "9", "--pattern", "connection_refused", "--no-syscalls", "--quiet"];

/// Rounds, and connections of a storm.
fn asked(size: Size) -> (usize, u32) {
    (size.pairs.unwrap_or(15), size.connections.unwrap_or(20_000))
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let (pairs, connections) = asked(size);
    let names: Vec<&str> = TOOLS.iter().map(|tool| tool.title).collect();
    format!(
        "{pairs} rounds of storms of {connections} connections beside nothing, `watch --json`, {}\n  \
         {PROBED} storms beside each of those that are BPF programs, under BPF statistics",
        names.join(", "),
    )
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    ((asked(size).0 + PROBED) * (TOOLS.len() + 2)).div_ceil(20)
}

/// Measures those that run here.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let (pairs, connections) = asked(size);
    let storm = Storm::prepare(Family::Ipv4, connections)?;
    let ports = storm.ports()?;
    let mut tools = Vec::new();
    for tool in TOOLS {
        match Running::start(tool, &ports, false) {
            Ok(running) => {
                Box::new(running).stop().with_context(|| format!("ending {}", tool.title))?;
                tools.push(tool);
            }
            Err(error) => report.remarks.push(format!("{} was not measured: {error:#}.", tool.title)),
        }
    }
    let own = [("no tracer", None), ("`watch --json`", Some(&[][..]))];
    let own = own.into_iter().map(|(name, flags)| Alternative { name, flags });
    let others = tools.iter().map(|tool| Alternative { name: tool.title, flags: None });
    let alternatives: Vec<Alternative> = own.chain(others).collect();
    let trial = Trial { name: "storm", load: &storm, alternatives: &alternatives, figures: FIGURES };
    let rounds = trial.run_with(pairs, report, &|index| match index {
        0 | 1 => sample(program, alternatives[index].flags, &storm),
        _ => {
            let running = Running::start(tools[index - 2], &ports, false)
                .with_context(|| format!("starting {}", alternatives[index].name))?;
            sample_beside(Some(Box::new(running)), &storm)
        }
    })?;
    for (index, alternative) in alternatives.iter().enumerate().skip(1) {
        let cpu = of(&rounds, index, &|watched| watched.cpu);
        report.rows.push(Row::new(format!("{}: its own CPU time a connection", alternative.name), "µs", cpu));
    }
    let lost = of(&rounds, 1, &|watched| watched.counts.lost).iter().sum();
    report.rows.push(Row::new("`watch --json`: events lost, all storms together", "", vec![lost]).goal("0"));
    for (index, tool) in (2..).zip(&tools) {
        report.rows.extend(shown(tool, &rounds, index, connections));
    }
    timed(&tools, &storm, &ports, program, report)?;
    report.remarks.push(format!(
        "{connections} connections a storm; {}. What they print is read by grep.",
        tools
            .iter()
            .map(|tool| format!("{} shows {}", tool.title, tool.shows))
            .collect::<Vec<_>>()
            .join(", "),
    ));
    Ok(())
}

/// A figure of what watched in one alternative.
fn of(rounds: &[Round], index: usize, figure: &dyn Fn(&Watched) -> f64) -> Vec<f64> {
    rounds.iter().filter_map(|round| round.0[index].watched.as_ref()).map(figure).collect()
}

/// What a tool shows of what happened, and what it says of the rest.
fn shown(tool: &Tool, rounds: &[Round], index: usize, connections: u32) -> Vec<Row> {
    let Tool { title, shows, .. } = tool;
    let expected = tool.expected(connections);
    let row = |what: &str, figure: &dyn Fn(&Watched) -> f64| {
        Row::new(format!("{title}: {shows} {what}"), "%", of(rounds, index, figure))
    };
    let missing = row("not shown", &|watched| (1.0 - watched.counts.delivered / expected) * 100.0);
    let said = || row("that it says it lost", &|watched| watched.counts.lost / expected * 100.0);
    [missing].into_iter().chain(tool.says.then(said)).collect()
}

/// The run time of the program at a change of state, by the kernel's own statistics.
fn timed(tools: &[&Tool], storm: &Storm, ports: &[u16], program: &Path, report: &mut Report) -> Result<()> {
    let row = |name: &str, probes: Vec<Probe>| {
        let each = probes.iter().map(|probe| probe.ns / probe.runs).collect();
        Row::new(format!("{name}: run time of its program at a change of state"), "ns", each)
    };
    let mut own = Vec::new();
    for _ in 0..PROBED {
        let watched =
            sample(program, Some(&["--probe-stats"]), storm)?.watched.context("tcptrace was there")?;
        own.extend(watched.counts.probes.into_iter().find(|probe| probe.name == "state_change"));
    }
    report.rows.push(row("`watch --json`", own).goal("≤ 180"));
    for tool in tools.iter().filter(|tool| tool.bpf) {
        let mut all = Vec::new();
        for number in 1..=PROBED {
            let statistics = Watcher::start(program, STATISTICS)?;
            let running = Running::start(tool, ports, true)?;
            let watched = sample_beside(Some(Box::new(running)), storm)?.watched.context("it was there")?;
            Box::new(statistics).stop()?;
            // The others it has, for its own beginning, ran once.
            all.extend(watched.counts.probes.into_iter().max_by(|a, b| a.runs.total_cmp(&b.runs)));
            eprintln!("{}: {number} of {PROBED} storms under BPF statistics", tool.title);
        }
        report.rows.push(row(tool.title, all));
    }
    Ok(())
}
