//! Work that has nothing to do with tcptrace: what its mere presence costs others.

mod bulk;
mod calls;
mod http;
mod redis;
mod server;

use super::{
    load::Load,
    part::Size,
    round::Alternative,
    trial::{Figure, Report, Trial},
};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// What is compared; system calls are what most of the work is made of. What `--quiet` silences is told at each start.
const ALTERNATIVES: &[Alternative] = &[
    Alternative { name: "no tcptrace", flags: None },
    Alternative { name: "`watch --json --no-syscalls`", flags: Some(&["--no-syscalls", "--quiet"]) },
    Alternative { name: "`watch --json`", flags: Some(&[]) },
];

/// Rounds, unless others are asked for.
const PAIRS: usize = 15;

/// One kind of work.
struct Work {
    name: &'static str,
    /// What it does, in a line.
    about: fn() -> String,
    prepare: fn() -> Result<Box<dyn Load>>,
    figures: &'static [Figure],
}

/// A reply is asked for and waited for, as requests of most servers are.
const PING_PONG: &[Figure] = &[
    Figure {
        name: "requests a second",
        unit: "1/s",
        of: |sample| sample.rate,
        goals: &["≤ 1.5 % fewer", "≤ 5 % fewer"],
    },
    Figure { name: "CPU time a request, whole machine", unit: "µs", of: |sample| sample.busy, goals: &[] },
];

const WORKS: &[Work] = &[
    Work {
        name: "getppid",
        about: calls::about,
        prepare: || Ok(Box::new(calls::Calls)),
        figures: &[
            Figure { name: "time a call", unit: "ns", of: |sample| 1e9 / sample.rate, goals: &[] },
            // What else ran on that CPU does not count here.
            Figure {
                name: "CPU time a call, thread and tcptrace",
                unit: "ns",
                of: |sample| sample.own * 1e3,
                goals: &[],
            },
        ],
    },
    Work {
        name: "redis",
        about: redis::about,
        prepare: || Ok(Box::new(redis::Redis::prepare()?)),
        figures: PING_PONG,
    },
    Work {
        name: "HTTP",
        about: http::about,
        prepare: || Ok(Box::new(http::Http::prepare()?)),
        figures: PING_PONG,
    },
    Work {
        name: "bulk",
        about: bulk::about,
        prepare: || Ok(Box::new(bulk::Bulk)),
        figures: &[Figure {
            name: "throughput",
            unit: "GB/s",
            of: |sample| sample.rate / 1e9,
            goals: &["within the noise", "within the noise"],
        }],
    },
];

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let pairs = size.pairs.unwrap_or(PAIRS);
    let names: Vec<&str> = ALTERNATIVES.iter().map(|alternative| alternative.name).collect();
    let works: Vec<String> =
        WORKS.iter().map(|work| format!("  {}: {}", work.name, (work.about)())).collect();
    format!(
        "for each of these, {pairs} rounds of {}: {}\n{}\n\
         All of it goes over this host's loopback; the servers are started for it and ended after it.",
        names.len(),
        names.join(", "),
        works.join("\n"),
    )
}

/// Minutes on a quiet machine: a sample takes one to three seconds.
pub(crate) fn minutes(size: Size) -> usize {
    (size.pairs.unwrap_or(PAIRS) * WORKS.len() * ALTERNATIVES.len()).div_ceil(30)
}

/// Measures each kind, as far as its server is there; one server runs at a time.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let pairs = size.pairs.unwrap_or(PAIRS);
    for Work { name, about, prepare, figures } in WORKS {
        match prepare() {
            Ok(load) => {
                let trial = Trial { name, load: &*load, alternatives: ALTERNATIVES, figures };
                trial.run(pairs, program, report).with_context(|| format!("measuring {name}"))?;
                report.remarks.push(format!("{name}: {}.", about()));
            }
            Err(error) => report.remarks.push(format!("{name} was not measured: {error:#}.")),
        }
    }
    Ok(())
}

/// A program that `install` knows where to find.
fn program(name: &str) -> Result<PathBuf> {
    crate::install::server::program(name).with_context(|| format!("there is no {name} here"))
}
