//! What is kept beside each socket: its owner and the times of its life.

use crate::{
    counter::count_loss,
    emit,
    kernel::setting,
    matching,
    sock::{Common, Tcp},
    task::{self, Current},
};
use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE, btf_maps::SkStorage, helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use core::ptr;
use tracer_common::{
    counter::Counter,
    record::socket::{CLOSED_BY_EXIT, FOLLOWED, Past},
};

#[btf_map]
static PAST: SkStorage<Past> = SkStorage::new();

const NOTHING: Past = Past {
    born_ns: 0,
    established_ns: 0,
    fin_sent_ns: 0,
    fin_received_ns: 0,
    eof_read_ns: 0,
    cgroup: 0,
    owner: 0,
    ns_pid: 0,
    exit_code: 0,
    comm: [0; 16],
    source: 0,
    flags: 0,
    send_errno: 0,
    soft_told: 0,
    ttl: 0,
    reset_ttl: 0,
    marks: 0,
    reserved: [0; 5],
};

/// The socket's past, NULL when nothing is kept.
#[inline(always)]
pub(crate) fn get(tcp: Tcp) -> *mut Past {
    look_up(tcp.common(), 0)
}

/// The past of a socket of any kind; only those of TCP have one.
#[inline(always)]
pub(crate) fn get_any(sk: Common) -> *mut Past {
    look_up(sk, 0)
}

/// The socket's past, begun now when there is none; NULL when the kernel has no memory, which is counted.
///
/// The cookie is generated here too: the TIME_WAIT remainder inherits what the socket has when it is parked, before
/// the change of state is told. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_minisocks.c#L290-L395>
#[inline(always)]
pub(crate) fn get_or_begin(tcp: Tcp, now: u64) -> *mut Past {
    let past = look_up(tcp.common(), BPF_SK_STORAGE_GET_F_CREATE.into());
    if past.is_null() {
        count_loss(Counter::NoStorage, now);
    }
    tcp.common().cookie();
    past
}

#[inline(always)]
fn look_up(sk: Common, flags: u64) -> *mut Past {
    let map = ptr::addr_of!(PAST).cast_mut().cast();
    // SAFETY: the map is live; the helper answers NULL for what is no full socket; the new value is all zero.
    unsafe { bpf_sk_storage_get(map, sk.0.cast_mut().cast(), ptr::null_mut(), flags) }.cast()
}

/// Copies a past into a record; NULL becomes "nothing known".
#[inline(always)]
pub(crate) fn copy(from: *const Past, to: *mut Past) {
    // SAFETY: `to` lies in a record that the caller owns; `from` is NULL or a live value.
    unsafe { to.write(if from.is_null() { NOTHING } else { *from }) }
}

/// Notes that the running process owns the socket; kernel threads own none.
#[inline(always)]
pub(crate) fn note_owner(past: *mut Past, source: u8) {
    let (pid, _) = task::ids();
    matching::note(emit::now);
    // SAFETY: `past` is a live value, checked by the caller.
    unsafe {
        if (*past).owner == pid || Current::get().kernel_thread() {
            return;
        }
        (*past).owner = pid;
        (*past).ns_pid = Current::get().ns_pid();
        (*past).cgroup = Current::get().cgroup();
        if setting!(follow) != 0 && Current::get().below(setting!(follow)) {
            (*past).flags |= FOLLOWED;
        }
        (*past).source = source;
        (*past).comm = Current::get().name();
    }
}

/// Notes that the running process closed the socket, and whether it did so by dying.
#[inline(always)]
pub(crate) fn note_close(past: *mut Past, source: u8) {
    note_owner(past, source);
    let task = Current::get();
    // SAFETY: as above.
    unsafe {
        if (*past).owner == task::ids().0 {
            (*past).source = source; // an owner that was known already closes it now
        }
        if task.exiting() {
            (*past).flags |= CLOSED_BY_EXIT;
            (*past).exit_code = task.exit_code();
        }
    }
}
