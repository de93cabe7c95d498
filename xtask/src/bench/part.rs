//! What `cargo xtask bench` is made of: parts, each of them a table of its own.

use super::{engine, floods, growth, latency, peers, polling, ring, start, storms, trial::Report, unrelated};
use crate::install::Purpose;
use anyhow::Result;
use std::path::Path;

/// What was asked for, where it differs from what a part does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Size {
    /// Rounds of each comparison.
    pub(crate) pairs: Option<usize>,
    /// Connections of a storm.
    pub(crate) connections: Option<u32>,
}

/// One part.
#[derive(Debug)]
pub(crate) struct Part {
    /// On the command line.
    pub(crate) name: &'static str,
    /// What it needs beside what building needs.
    pub(crate) purpose: Purpose,
    /// Whether programs are loaded into the kernel.
    pub(crate) loads: bool,
    /// What will be done, a line each.
    pub(crate) about: fn(Size) -> String,
    /// On a quiet machine.
    pub(crate) minutes: fn(Size) -> usize,
    /// Does it beside the tcptrace at this path.
    pub(crate) measure: fn(Size, &Path, &mut Report) -> Result<()>,
}

/// All of them, in the order in which they are measured.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "storms",
        purpose: Purpose::Building,
        loads: true,
        about: storms::about,
        minutes: storms::minutes,
        measure: storms::measure,
    },
    Part {
        name: "unrelated",
        purpose: Purpose::Comparing,
        loads: true,
        about: unrelated::about,
        minutes: unrelated::minutes,
        measure: unrelated::measure,
    },
    Part {
        name: "engine",
        purpose: Purpose::Building,
        loads: false,
        about: engine::about,
        minutes: |_| 1,
        measure: engine::measure,
    },
    Part {
        name: "peers",
        purpose: Purpose::Racing,
        loads: true,
        about: peers::about,
        minutes: peers::minutes,
        measure: peers::measure,
    },
    Part {
        name: "growth",
        purpose: Purpose::Building,
        loads: true,
        about: growth::about,
        minutes: growth::minutes,
        measure: growth::measure,
    },
    Part {
        name: "ring",
        purpose: Purpose::Building,
        loads: true,
        about: ring::about,
        minutes: ring::minutes,
        measure: ring::measure,
    },
    Part {
        name: "floods",
        purpose: Purpose::Building,
        loads: true,
        about: floods::about,
        minutes: |_| 1,
        measure: floods::measure,
    },
    Part {
        name: "latency",
        purpose: Purpose::Building,
        loads: true,
        about: latency::about,
        minutes: latency::minutes,
        measure: latency::measure,
    },
    Part {
        name: "start",
        purpose: Purpose::Building,
        loads: true,
        about: start::about,
        minutes: |_| 1,
        measure: start::measure,
    },
    Part {
        name: "polling",
        purpose: Purpose::Building,
        loads: true,
        about: polling::about,
        minutes: polling::minutes,
        measure: polling::measure,
    },
];
