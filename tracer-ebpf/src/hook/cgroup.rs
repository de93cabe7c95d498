//! `cgroup:cgroup_mkdir(struct cgroup *cgrp, const char *path)`
//!
//! A cgroup is made before any process is in it, so that its path is known when its number is seen. Of the older
//! hierarchies the records tell nothing: their numbers are others.
//! <https://github.com/torvalds/linux/blob/v6.12/include/trace/events/cgroup.h#L53-L87>

use crate::{
    emit::{self, Urgency},
    kernel::{load, offset},
};
use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use core::ptr::addr_of_mut;
use tracer_common::record::{
    Kind,
    cgroup::{Cgroup, PATH},
};

#[btf_tracepoint(function = "cgroup_mkdir")]
pub(crate) fn cgroup(ctx: BtfTracePointContext) -> i32 {
    let group: *const u8 = ctx.arg(0);
    let root = load::<usize>(group, offset!(cgroup_root)) as *const u8;
    if load::<i32>(root, offset!(root_number)) != 0 {
        return 0;
    }
    let now = emit::now();
    let Some(record) = emit::reserve::<Cgroup>(Kind::Cgroup, now) else { return 0 };
    let path: *const u8 = ctx.arg(1);
    // SAFETY: the record is reserved and ours; the helper checks the address, and writes no more than the field.
    unsafe {
        let node = load::<usize>(group, offset!(cgroup_node)) as *const u8;
        addr_of_mut!((*record).id).write(load(node, offset!(node_id)));
        // The helper leaves what follows the path as it was.
        for word in 0..PATH / 8 {
            addr_of_mut!((*record).path).cast::<u64>().add(word).write_volatile(0);
        }
        bpf_probe_read_kernel_str(addr_of_mut!((*record).path).cast(), PATH as u32, path.cast());
    }
    emit::submit(record, now, Urgency::Batch);
    0
}
