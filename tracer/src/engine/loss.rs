//! When records were lost, and on which CPU.

use crate::time::Time;
use std::collections::VecDeque;
use tracer_common::counter::{Cell, Counter};

/// More stretches than a finding can look back on.
const CAPACITY: usize = 4_096;

/// A stretch of time in which records were lost.
struct Stretch {
    from: Time,
    to: Time,
    cause: Counter,
}

/// The stretches of the recent past.
#[derive(Default)]
pub(super) struct Losses {
    stretches: VecDeque<Stretch>,
}

impl Losses {
    /// Takes new losses of one CPU and cause.
    pub(super) fn note(&mut self, cause: Counter, cell: &Cell) {
        if self.stretches.len() >= CAPACITY {
            self.stretches.pop_front();
        }
        self.stretches.push_back(Stretch { from: Time(cell.first_ns), to: Time(cell.last_ns), cause });
    }

    /// The causes of losses that touch a stretch of time.
    pub(super) fn within(&self, from: Time, to: Time) -> Vec<&'static str> {
        let mut causes: Vec<&'static str> = self
            .stretches
            .iter()
            .filter(|stretch| stretch.from <= to && from <= stretch.to)
            .map(|stretch| stretch.cause.name())
            .collect();
        causes.sort_unstable();
        causes.dedup();
        causes
    }
}

#[cfg(test)]
mod tests {
    use super::Losses;
    use crate::time::Time;
    use tracer_common::counter::{Cell, Counter};

    #[test]
    fn only_a_window_that_overlaps_is_marked() {
        let mut losses = Losses::default();
        losses.note(Counter::RingFull, &Cell { count: 3, first_ns: 100, last_ns: 200 });
        assert_eq!(losses.within(Time(150), Time(160)), ["ring_full"]);
        assert_eq!(losses.within(Time(200), Time(300)), ["ring_full"]);
        assert!(losses.within(Time(201), Time(300)).is_empty());
        assert!(losses.within(Time(0), Time(99)).is_empty());
    }
}
