//! From what happens to a connection to the line that tells it, on a pipe of `watch --json`.

use super::{
    load::Load as _,
    part::Size,
    process,
    series::percentile,
    storm::{Family, Storm},
    table::Row,
    trial::Report,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// What else goes on, and how far incidents are apart.
#[derive(Debug)]
struct Surroundings {
    name: &'static str,
    /// As the bench calls it.
    way: &'static str,
    /// Whether storms of healthy connections run beside, one after the other.
    storm: bool,
}

const SURROUNDINGS: &[Surroundings] = &[
    Surroundings { name: "a second of silence before each", way: "spread", storm: false },
    Surroundings { name: "every 5 to 60 ms", way: "dense", storm: false },
    Surroundings { name: "every 5 to 60 ms in a storm", way: "dense", storm: true },
];

/// A kind of incident.
struct Kind {
    /// On the lines of the bench.
    key: &'static str,
    name: &'static str,
    /// Milliseconds.
    goal: f64,
}

const KINDS: &[Kind] = &[
    // `join.hold`, 50 ms, passes before it is known that no other address answers.
    Kind { key: "refused", name: "connect() refused (waits for an absence)", goal: 70.0 },
    Kind { key: "reset", name: "recv() reset by a peer on this host", goal: 20.0 },
];

/// Connections of each of the storms.
const STORM: u32 = 20_000;

/// Incidents of each kind, and the most of them that are asked for.
fn incidents(size: Size) -> usize {
    size.pairs.unwrap_or(200)
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let names: Vec<&str> = SURROUNDINGS.iter().map(|surroundings| surroundings.name).collect();
    format!("{} incidents of {} kinds: {}", incidents(size), KINDS.len(), names.join("; "))
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    (incidents(size) * KINDS.len()).div_ceil(60) * 13 / 10 + 1
}

/// Times of one incident's line, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Delay {
    /// Since the time that the line tells.
    since_event: f64,
    /// Since before the call that caused it.
    since_call: f64,
}

/// Measures it.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let loader = process::build("latency")?;
    for surroundings in SURROUNDINGS {
        eprintln!("bench: latency: {}", surroundings.name);
        let output = if surroundings.storm {
            beside_storm(|| run(&loader, surroundings, size, program))?
        } else {
            run(&loader, surroundings, size, program)?
        };
        for kind in KINDS {
            report.rows.extend(rows(surroundings, kind, &delays(&output, kind.key)?)?);
        }
    }
    report.remarks.push(
        "An event's time is the kernel's own, as its line tells it; a line's is when it was read.".to_owned(),
    );
    Ok(())
}

/// What the bench prints.
fn run(loader: &Path, surroundings: &Surroundings, size: Size, program: &Path) -> Result<String> {
    let mut command = Command::new(loader);
    command.arg(program).args([surroundings.way, &incidents(size).to_string()]);
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("running the bench")?;
    ensure!(output.status.success(), "the bench failed ({})", output.status);
    String::from_utf8(output.stdout).context("the bench printed no text")
}

/// Does something while storms go on.
fn beside_storm<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let storm = Storm::prepare(Family::Ipv4, STORM)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storms = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                storm.run()?;
            }
            anyhow::Ok(())
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        storms.join().ok().context("the storm panicked")?.context("a storm beside the incidents")?;
        done
    })
}

/// The delays of a kind; none of an incident whose line is missing.
fn delays(output: &str, kind: &str) -> Result<Vec<Option<Delay>>> {
    let lines = output.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let delay = |line: &str| {
        if line == "missing" {
            return Some(None);
        }
        let (event, call) = line.split_once(' ')?;
        let milliseconds = |ns: &str| Some(ns.parse::<f64>().ok()? / 1e6);
        Some(Some(Delay { since_event: milliseconds(event)?, since_call: milliseconds(call)? }))
    };
    lines.map(|line| delay(line).with_context(|| format!("the bench printed {line:?}"))).collect()
}

/// The lines of the table.
fn rows(surroundings: &Surroundings, kind: &Kind, delays: &[Option<Delay>]) -> Result<[Row; 4]> {
    ensure!(!delays.is_empty(), "the bench made no incident: {}", kind.name);
    let of = |time: fn(&Delay) -> f64| -> Vec<f64> { delays.iter().flatten().map(time).collect() };
    let (events, calls) = (of(|delay| delay.since_event), of(|delay| delay.since_call));
    let p99 = |times: &[f64]| percentile(times, 0.99).into_iter().collect();
    let title = format!("{}, {}", kind.name, surroundings.name);
    let missing = u32::try_from(delays.len() - events.len())?;
    let goal = format!("≤ {:.0}", kind.goal);
    Ok([
        Row::new(format!("{title}: event to line, p99"), "ms", p99(&events)).goal(goal),
        Row::new(format!("{title}: call to line, p99"), "ms", p99(&calls)),
        Row::new(
            format!("{title}: lines missing of {} incidents", delays.len()),
            "",
            vec![f64::from(missing)],
        )
        .goal("0"),
        Row::new(format!("{title}: event to line"), "ms", events),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "refused 50000000 51000000\nreset 6000000 7000000\nrefused missing\nreset 1 2\n";

    #[test]
    fn a_line_that_never_came_is_not_forgotten() -> Result<()> {
        let one = Delay { since_event: 50.0, since_call: 51.0 };
        assert_eq!(delays(OUTPUT, "refused")?, [Some(one), None]);
        assert_eq!(delays(OUTPUT, "reset")?.len(), 2);
        let [_, _, missing, _] = rows(&SURROUNDINGS[0], &KINDS[0], &delays(OUTPUT, "refused")?)?;
        assert!(missing.to_string().contains("missing of 2 incidents |  | 1.00 |"), "{missing}");
        Ok(())
    }

    #[test]
    fn what_is_no_delay_is_refused() {
        assert!(delays("reset soon\n", "reset").is_err());
        assert!(rows(&SURROUNDINGS[0], &KINDS[0], &[]).is_err());
    }
}
