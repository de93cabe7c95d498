//! The task that runs while a hook does.

use crate::kernel::{load, offset};
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task_btf};

/// `PF_EXITING`: the task is in do_exit(), and its exit code is final.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h#L1660>
const PF_EXITING: u32 = 0x4;
/// `PF_KTHREAD`. <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h#L1679>
const PF_KTHREAD: u32 = 0x0020_0000;

/// How far up ancestors are looked for.
const GENERATIONS: usize = 16;

/// The current task.
#[derive(Clone, Copy)]
pub(crate) struct Current(*const u8);

impl Current {
    #[inline(always)]
    pub(crate) fn get() -> Self {
        // SAFETY: has no arguments; there always is a current task.
        Self(unsafe { bpf_get_current_task_btf() } as *const u8)
    }

    #[inline(always)]
    fn flags(self) -> u32 {
        load(self.0, offset!(task_flags))
    }

    #[inline(always)]
    pub(crate) fn exiting(self) -> bool {
        self.flags() & PF_EXITING != 0
    }

    #[inline(always)]
    pub(crate) fn kernel_thread(self) -> bool {
        self.flags() & PF_KTHREAD != 0
    }

    /// Whether this process is below another, at most [`GENERATIONS`] forks away.
    #[inline(always)]
    pub(crate) fn below(self, ancestor: u32) -> bool {
        let mut task = self.0;
        for _ in 0..GENERATIONS {
            if load::<u32>(task, offset!(task_tgid)) == ancestor {
                return true;
            }
            task = load::<usize>(task, offset!(task_parent)) as *const u8;
        }
        false
    }

    /// The exit code while the task is exiting, else 0.
    #[inline(always)]
    pub(crate) fn exit_code(self) -> i32 {
        if self.exiting() { load(self.0, offset!(task_exit_code)) } else { 0 }
    }
}

/// The current process and thread.
#[inline(always)]
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: has no arguments.
    let both = unsafe { bpf_get_current_pid_tgid() };
    ((both >> 32) as u32, both as u32)
}
