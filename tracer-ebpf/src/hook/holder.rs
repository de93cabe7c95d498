//! `iter/task_file`: every descriptor of every process.
//!
//! The context's members are fixed by `struct bpf_iter__task_file`; the loader checks them against BTF.
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/task_iter.c#L317-L322>

use super::sample::Meta;
use crate::{
    emit, hook,
    kernel::{load, number, offset},
    past,
    sock::{Common, Tcp, is},
    task::{self, cgroup, comm, ns_pid},
};
use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use core::{mem::MaybeUninit, ptr::addr_of_mut};
use tracer_common::{
    State::{Close, CloseWait, Listen},
    record::{
        Header, Kind,
        holder::Holder,
        socket::{OWNER_SCAN, Past},
    },
};

/// `struct bpf_iter__task_file`
#[repr(C)]
pub(crate) struct Context {
    meta: *const Meta,
    task: *const u8,
    fd: u32,
    file: *const u8,
}

/// Notes a holder of every TCP socket nobody is known to own, and tells the holders of those that wait for
/// something or have failed.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub(crate) fn holder(ctx: *mut Context) -> i32 {
    let Some(Seen { meta, task, fd, sk }) = seen(ctx) else { return 0 };
    let Some(tcp) = sk.tcp() else { return 0 };
    if !hook::wanted(tcp) {
        return 0;
    }
    let past = past::get(tcp);
    note(past, task);
    let state = sk.state();
    let failed = is(state, Close) && !past.is_null();
    if is(state, Listen) || is(state, CloseWait) || failed {
        tell(meta, tcp, past, task, fd);
    }
    0
}

/// A descriptor of a socket.
pub(super) struct Seen {
    pub(super) meta: *const Meta,
    pub(super) task: *const u8,
    pub(super) fd: u32,
    pub(super) sk: Common,
}

/// What the iterator shows, if it is a socket.
#[inline(always)]
pub(super) fn seen(ctx: *mut Context) -> Option<Seen> {
    // SAFETY: the kernel passes its context; task and file are NULL after the last descriptor.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return None;
    }
    let socket: *const u8 = if number!(probed) != 0 {
        task::socket_of(file as usize) as *const u8
    } else {
        // SAFETY: takes any file and answers NULL for what is no socket.
        unsafe { bpf_sock_from_file(file.cast_mut().cast()) }.cast()
    };
    if socket.is_null() {
        return None;
    }
    let sk = Common(load::<usize>(socket, offset!(socket_sk)) as *const u8);
    (!sk.0.is_null()).then_some(Seen { meta, task, fd, sk })
}

#[inline(always)]
pub(super) fn note(past: *mut Past, task: *const u8) {
    if past.is_null() {
        return;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        if (*past).owner == 0 {
            (*past).owner = load(task, offset!(task_tgid));
            (*past).ns_pid = ns_pid(task);
            (*past).cgroup = cgroup(task);
            (*past).source = OWNER_SCAN;
            (*past).comm = comm(task);
        }
    }
}

#[inline(always)]
pub(super) fn tell(meta: *const Meta, tcp: Tcp, past: *mut Past, task: *const u8, fd: u32) {
    let mut holder = MaybeUninit::<Holder>::uninit();
    let record = holder.as_mut_ptr();
    emit::header::<Holder>(record.cast(), Kind::Holder, emit::now());
    // SAFETY: every field is written before the helper reads them; it copies the record out.
    unsafe {
        let header: *mut Header = record.cast();
        addr_of_mut!((*header).pid).write(load(task, offset!(task_tgid)));
        addr_of_mut!((*header).comm).write(comm(task));
        emit::socket(tcp, past, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        addr_of_mut!((*record).socket.silence).write(tcp.silence());
        addr_of_mut!((*record).fd).write(fd);
        addr_of_mut!((*record).ns_pid).write(ns_pid(task));
        addr_of_mut!((*record).cgroup).write(cgroup(task));
        bpf_seq_write((*meta).seq.cast(), record.cast(), size_of::<Holder>() as u32);
    }
}
