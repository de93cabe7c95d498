//! Counts of a run.

use super::{Live, Reconciliation, books::Books};
use crate::engine::Load;
use anyhow::Result;
use std::collections::BTreeMap;
use tracer_common::counter::{Cell, Counter};

/// Counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The kernel programs' counters, summed over CPUs.
    pub kernel: BTreeMap<&'static str, u64>,
    /// Losses by cause, CPU by CPU.
    pub losses: Vec<(Counter, u32, Cell)>,
    /// Records read.
    pub received: u64,
    /// Records that could not be decoded.
    pub malformed: u64,
    /// Healthy and failed connections, as far as they were seen to begin.
    pub engine: Load,
    /// Events lost because the programs that take them were running on that CPU.
    pub recursion_misses: u64,
    /// The kernel's own counters, as last read; none where a filter leaves out what they count.
    pub reconciliation: Option<Reconciliation>,
}

impl Live {
    /// The counts so far.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn totals(&self) -> Result<Totals> {
        let mut totals = Totals {
            received: self.received,
            malformed: self.malformed,
            engine: self.engine.load(),
            recursion_misses: self.probes.recursion_misses()?,
            reconciliation: self.books.as_ref().map(Books::reconciliation),
            ..Totals::default()
        };
        for (counter, cells) in self.probes.counters()? {
            totals.kernel.insert(counter.name(), cells.iter().map(|cell| cell.count).sum());
            if counter.is_loss() {
                let lossy = (0..).zip(cells).filter(|(_, cell)| cell.count > 0);
                totals.losses.extend(lossy.map(|(cpu, cell)| (counter, cpu, cell)));
            }
        }
        Ok(totals)
    }
}
