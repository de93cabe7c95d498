//! Events of an interrupt that meets a program running on its CPU: the kernel skips the program then, and a second
//! one on the same hook takes the event.
//!
//! `__bpf_trace_run()` counts such a skip as a recursion miss (v6.12).
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>

use crate::counter::count;
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use tracer_common::counter::Counter;

/// The hooks that fire in interrupts.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    StateChange,
    ResetReceived,
    ResetSent,
    ResetSentV4,
    ResetSentV6,
    Error,
    Retransmit,
    Drop,
    Synack,
    Ttl,
    Destroy,
}

/// Whether the first program of a hook runs on this CPU.
#[btf_map]
static RUNNING: PerCpuArray<u64, 11> = PerCpuArray::new();

/// The first program of a hook.
#[inline(always)]
pub(crate) fn first(hook: Hook, run: impl FnOnce()) -> i32 {
    let Some(running) = RUNNING.get_ptr_mut(hook as u32) else { return 0 };
    // SAFETY: a live cell of this CPU, which only this program writes, and the kernel runs it once at a time.
    unsafe { running.write_volatile(1) }
    run();
    // SAFETY: as above.
    unsafe { running.write_volatile(0) }
    0
}

/// The second program: it runs for every event, and acts where the first one was skipped.
#[inline(always)]
pub(crate) fn second(hook: Hook, run: impl FnOnce()) -> i32 {
    let Some(running) = RUNNING.get_ptr_mut(hook as u32) else { return 0 };
    // SAFETY: a live cell of this CPU.
    if unsafe { running.read_volatile() } != 0 {
        count(Counter::Nested);
        run();
    }
    0
}
