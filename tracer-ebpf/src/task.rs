//! The task that runs while a hook does.

use crate::kernel::{load, number, offset, peek};
use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs,
};
use tracer_common::{layout::ABSENT, record::exit::OUT_OF_MEMORY};

/// `PF_EXITING`: the task is in do_exit(), and its exit code is final.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h#L1660>
const PF_EXITING: u32 = 0x4;
/// `PF_KTHREAD`. <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched.h#L1679>
const PF_KTHREAD: u32 = 0x0020_0000;

/// How far up ancestors are looked for.
const GENERATIONS: usize = 16;

/// As many bits as levels of pid namespaces have, of which the kernel allows 32.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/pid_namespace.h#L14>
const LEVELS: u32 = 0x3f;

/// The current task.
#[derive(Clone, Copy)]
pub(crate) struct Current(*const u8);

impl Current {
    #[inline(always)]
    pub(crate) fn get() -> Self {
        // SAFETY: both have no arguments; there always is a current task.
        let task = unsafe {
            if number!(probed) != 0 { bpf_get_current_task() } else { bpf_get_current_task_btf() as u64 }
        };
        Self(task as *const u8)
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

    /// Its cgroup of version 2, by the inode number of the directory.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        cgroup(self.0)
    }

    /// The number of its process in the process's own pid namespace.
    #[inline(always)]
    pub(crate) fn ns_pid(self) -> u32 {
        ns_pid(self.0)
    }

    /// The name of its process: that of the first thread, which `ps` and `ss` show.
    #[inline(always)]
    pub(crate) fn name(self) -> [u8; 16] {
        comm(load::<usize>(self.0, offset!(task_leader)) as *const u8)
    }

    /// Inode number of its network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let namespaces = load::<usize>(self.0, offset!(task_namespaces));
        peek(peek::<usize>(namespaces, offset!(namespaces_net)), offset!(net_inum))
    }

    /// Its registers as they were when it entered the kernel.
    #[inline(always)]
    pub(crate) fn registers(self) -> *const u8 {
        // SAFETY: takes a task, and a task that made a system call has them.
        unsafe { bpf_task_pt_regs(self.0.cast_mut().cast()) as *const u8 }
    }

    /// Whether no thread of its process is left, this one not counted: `do_exit()` counts it down first.
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c#L915-L948>
    #[inline(always)]
    pub(crate) fn last(self) -> bool {
        peek::<i32>(self.signal(), offset!(signal_live)) == 0
    }

    /// The status bits of its thread information.
    #[inline(always)]
    pub(crate) fn status(self) -> u32 {
        load(self.0, offset!(task_status))
    }

    /// The address of its `struct socket` behind a descriptor; 0 when there is none.
    #[inline(always)]
    pub(crate) fn socket(self, fd: i32) -> usize {
        let table: usize = peek(load::<usize>(self.0, offset!(task_files)), offset!(files_table));
        if fd < 0 || fd as u32 >= peek::<u32>(table, offset!(table_size)) {
            return 0;
        }
        let files: usize = peek(table, offset!(table_files));
        let file: usize = peek(files + fd as usize * size_of::<usize>(), 0);
        socket_of(file)
    }

    /// The exit code while the task is exiting, else 0; marked when the kernel killed it for want of memory.
    ///
    /// `mark_oom_victim()` notes the memory of its victims.
    /// <https://github.com/torvalds/linux/blob/v6.12/mm/oom_kill.c#L748-L775>
    #[inline(always)]
    pub(crate) fn exit_code(self) -> i32 {
        if !self.exiting() {
            return 0;
        }
        let code: i32 = load(self.0, offset!(task_exit_code));
        if code != 0 && peek::<usize>(self.signal(), offset!(signal_oom)) != 0 {
            code | OUT_OF_MEMORY
        } else {
            code
        }
    }

    /// The address of what its process' threads share.
    ///
    /// By the helper: for a load of a pointer from a task that it trusts the verifier searches all types of the kernel by
    /// name, on every path, and this is seldom needed. `type_is_trusted()`,
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/verifier.c>
    #[inline(always)]
    fn signal(self) -> usize {
        peek(self.0 as usize, offset!(task_signal))
    }
}

/// The address of the `struct socket` of an open file, by its address; 0 when it is no socket's.
///
/// `sock_from_file()` asks for the file's operations; what the file and the socket say of each other tells as much.
/// <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L519-L527>
#[inline(always)]
pub(crate) fn socket_of(file: usize) -> usize {
    let socket: usize = peek(file, offset!(file_private));
    let of: usize = peek(socket, offset!(socket_file));
    if of == file && file != 0 { socket } else { 0 }
}

/// The name of a thread that is kept.
#[inline(always)]
pub(crate) fn comm(task: *const u8) -> [u8; 16] {
    let words: [u64; 2] = [load(task, offset!(task_comm)), load(task, offset!(task_comm) + 8)];
    let (low, high) = (words[0].to_ne_bytes(), words[1].to_ne_bytes());
    let mut comm = [0; 16];
    comm[..8].copy_from_slice(&low);
    comm[8..].copy_from_slice(&high);
    comm
}

/// The cgroup of version 2 of a task, by the inode number of the directory.
#[inline(always)]
pub(crate) fn cgroup(task: *const u8) -> u64 {
    let groups = load::<usize>(task, offset!(task_cgroups)) as *const u8;
    let group = load::<usize>(groups, offset!(cgroups_default)) as *const u8;
    load(load::<usize>(group, offset!(cgroup_node)) as *const u8, offset!(node_id))
}

/// The number of a task's process in the process's own pid namespace, which is the last of those it is numbered in.
///
/// The first thread keeps its numbers as long as another one runs. In the first namespace its number is the one that every
/// task has at hand.
#[inline(always)]
pub(crate) fn ns_pid(task: *const u8) -> u32 {
    let leader = load::<usize>(task, offset!(task_leader)) as *const u8;
    let numbers = load::<usize>(leader, offset!(task_pid)) as *const u8;
    if numbers.is_null() || number!(upid_size) == ABSENT {
        return 0;
    }
    let level = load::<u32>(numbers, offset!(pid_level)) & LEVELS;
    if level == 0 {
        return load(task, offset!(task_tgid));
    }
    // A scalar: on a pointer of a known type Linux 6.1 allows no sum that it cannot bound.
    let numbers: usize = peek(leader as usize, offset!(task_pid));
    let own = level as usize * number!(upid_size) as usize + offset!(pid_number) as usize;
    peek(numbers + own, offset!(pid_numbers))
}

/// The current process and thread.
#[inline(always)]
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: has no arguments.
    let both = unsafe { bpf_get_current_pid_tgid() };
    ((both >> 32) as u32, both as u32)
}
