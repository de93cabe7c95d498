//! Counts of what happened to events, per CPU and cause.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use tracer_common::counter::{Cell, Counter};

#[btf_map]
static COUNTERS: PerCpuArray<Cell, { Counter::ALL.len() }> = PerCpuArray::new();

/// Counts one.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(cell) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: a live cell of this CPU; a softirq that interrupts this can at worst lose one count of its own
        // kind, which no program here allows: programs of one CPU do not nest.
        unsafe { (*cell).count += 1 }
    }
}

/// Counts a loss, with its time in `CLOCK_BOOTTIME` nanoseconds.
#[inline(always)]
pub(crate) fn count_loss(counter: Counter, now: u64) {
    if let Some(cell) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: as above.
        unsafe {
            (*cell).count += 1;
            if (*cell).first_ns == 0 {
                (*cell).first_ns = now;
            }
            (*cell).last_ns = now;
        }
    }
}
