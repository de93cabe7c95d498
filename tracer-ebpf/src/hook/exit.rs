//! `sched:sched_process_exit(struct task_struct *p)`
//!
//! Fires in `do_exit()` for every thread, before its descriptors are closed.
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c#L871-L960>

use crate::{
    emit::{self, Urgency},
    task::Current,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use core::ptr::addr_of_mut;
use tracer_common::record::{Kind, exit::Exit};

/// The signal in an exit code. <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c#L1029-L1033>
const SIGNAL: i32 = 0x7f;

#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn exit(_: BtfTracePointContext) -> i32 {
    let task = Current::get();
    let code = task.exit_code();
    // A process ends with its last thread, which need not be the first.
    if code & SIGNAL == 0 || !task.last() {
        return 0;
    }
    let now = emit::now();
    let Some(record) = emit::reserve::<Exit>(Kind::Exit, now) else { return 0 };
    // SAFETY: the record is reserved and ours.
    unsafe {
        addr_of_mut!((*record).exit_code).write(code);
        addr_of_mut!((*record).reserved).write(0);
    }
    emit::submit(record, now, Urgency::Now);
    0
}
