//! Events that meet a program running on their CPU, in an interrupt or because its process was preempted: the kernel
//! skips the program then, and a second one on the same hook takes the event.
//!
//! `__bpf_trace_run()` counts such a skip as a recursion miss (v6.12).
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c>

use crate::{counter::count, kernel::number};
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use tracer_common::counter::Counter;

/// The hooks with a second program.
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
    Send,
    SendPage,
    Receive,
    CallRaw,
    Connect,
    Accept,
    Shutdown,
    SetSockOpt,
    GetSockOpt,
}

/// Whether the first program of a hook runs on this CPU.
#[btf_map]
static RUNNING: PerCpuArray<u64, 20> = PerCpuArray::new();

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

/// Whether the first program of a hook runs on this CPU, below what interrupts it.
#[inline(always)]
pub(crate) fn running(hook: Hook) -> bool {
    // SAFETY: a live cell of this CPU.
    RUNNING.get_ptr_mut(hook as u32).is_some_and(|running| unsafe { running.read_volatile() } != 0)
}

/// The first program of a hook at a tracepoint in process context: alone where none is preempted there.
#[inline(always)]
pub(crate) fn first_of_process(hook: Hook, run: impl FnOnce()) -> i32 {
    if number!(preemptible) != 0 {
        return first(hook, run);
    }
    run();
    0
}

/// The second program: it runs for every event, and acts where the first one was skipped.
#[inline(always)]
pub(crate) fn second(hook: Hook, run: impl FnOnce()) -> i32 {
    if running(hook) {
        count(Counter::Nested);
        run();
    }
    0
}
