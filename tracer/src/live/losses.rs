//! What the kernel programs lost, told to the engine.

use super::{Live, own::header};
use crate::kernel::clock;
use anyhow::Result;
use std::time::{Duration, Instant};
use tracer_common::{
    counter::{Cell, Counter},
    record::{Kind, loss::Loss},
};

/// How often the kernel is asked how many runs of programs it skipped.
const MISSES_PERIOD: Duration = Duration::from_millis(100);

impl Live {
    /// Tells the engine what was lost since it was last told.
    pub(super) fn note_losses(&mut self) -> Result<()> {
        for (counter, cells) in self.probes.counters()? {
            if !counter.is_loss() {
                continue;
            }
            for (cpu, cell) in (0u32..).zip(cells) {
                let known = self.known.entry((counter as u32, cpu as usize)).or_default();
                if cell.count == known.count {
                    continue;
                }
                // New losses lie between the last known one and the newest.
                let first_ns = if known.count == 0 { cell.first_ns } else { known.last_ns };
                let news = Cell { count: cell.count - known.count, first_ns, last_ns: cell.last_ns };
                *known = cell;
                let header = header::<Loss>(Kind::Loss, cpu);
                self.feed_own(&Loss { header, cell: news, counter: counter as u32, reserved: 0 })?;
            }
        }
        Ok(())
    }

    /// Tells the engine of events for which the kernel skipped both programs because they were running on that CPU:
    /// on which one and when exactly, nobody counts.
    pub(super) fn note_misses(&mut self) -> Result<()> {
        let (known, since, asked) = self.misses;
        if asked.elapsed() < MISSES_PERIOD {
            return Ok(());
        }
        let (misses, now) = (self.probes.recursion_misses()?, clock::now());
        self.misses = (misses, now, Instant::now());
        if misses <= known {
            return Ok(());
        }
        let cell = Cell { count: misses - known, first_ns: since.0, last_ns: now.0 };
        let header = header::<Loss>(Kind::Loss, 0);
        self.feed_own(&Loss { header, cell, counter: Counter::Recursion as u32, reserved: 0 })
    }
}
