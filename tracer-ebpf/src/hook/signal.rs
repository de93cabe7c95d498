//! `signal:signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`
//!
//! `sk_stream_error()` sends SIGPIPE to the thread that writes, before the call returns EPIPE.
//! <https://github.com/torvalds/linux/blob/v6.12/net/core/stream.c#L171-L181>

use crate::{
    emit::{self, Urgency},
    kernel::number,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::record::{
    Kind,
    signal::{DELIVERED, IGNORED, Signal, UNKNOWN},
};

/// `SIGPIPE`, the same on x86 and Arm.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/signal.h#L23>
const SIGPIPE: u32 = 13;

#[btf_tracepoint(function = "signal_generate")]
pub(crate) fn signal(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u32>(0) != SIGPIPE {
        return 0;
    }
    let now = emit::now();
    let result = ctx.arg::<u32>(4);
    let delivery = if result == number!(signal_delivered) {
        DELIVERED
    } else if result == number!(signal_ignored) {
        IGNORED
    } else {
        UNKNOWN
    };
    let Some(record) = emit::reserve::<Signal>(Kind::Signal, now) else { return 0 };
    // SAFETY: the record is reserved and ours.
    unsafe {
        addr_of_mut!((*record).delivery).write(delivery);
        addr_of_mut!((*record).reserved).write(0);
    }
    emit::submit(record, now, Urgency::Batch);
    0
}
