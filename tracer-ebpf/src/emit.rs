//! The way into the ring: reserve, fill, submit, or count the loss. Its only user.

use crate::{
    counter::{count, count_loss},
    past, sock, task,
};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::{PerCpuArray, RingBuf},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_ringbuf_query, bpf_ringbuf_reserve,
        bpf_ringbuf_submit,
    },
    macros::btf_map,
};
use core::ptr::{self, addr_of_mut};
use tracer_common::{
    counter::Counter,
    record::{
        Header, Kind,
        socket::{Past, Socket},
    },
};

/// The size here is replaced by the loader's.
#[btf_map]
static EVENTS: RingBuf<u8, { 4 << 20 }> = RingBuf::new();

/// When a CPU last woke the reader, in `CLOCK_BOOTTIME` nanoseconds.
#[btf_map]
static LAST_WAKE: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The reader is woken for this many bytes, whatever they are.
const WAKE_BYTES: u64 = 64 << 10;
/// The records of one CPU wake the reader at most this often: each wake-up is an interrupt, in a virtual machine a
/// microsecond and more. <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/ringbuf.c#L481-L510>
const WAKE_EVERY_NS: u64 = 5_000_000;

/// Whether somebody waits for a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// It is read with the next batch.
    Batch,
    /// The reader is woken.
    Now,
}

/// Now, in `CLOCK_BOOTTIME` nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: has no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Reserves a record of type `R` and writes its header: the caller writes all that follows, and submits it.
///
/// Not a function that takes a closure: one that two programs share would become a function of its own, whose
/// unused arguments the verifier refuses.
#[inline(always)]
pub(crate) fn reserve<R>(kind: Kind, now: u64) -> Option<*mut R> {
    let ring = ptr::addr_of!(EVENTS).cast_mut().cast();
    // SAFETY: the ring is a live map and the size a constant.
    let record: *mut R = unsafe { bpf_ringbuf_reserve(ring, size_of::<R>() as u64, 0) }.cast();
    if record.is_null() {
        count_loss(Counter::RingFull, now);
        return None;
    }
    header::<R>(record.cast(), kind, now);
    Some(record)
}

/// Hands a filled record to the reader.
#[inline(always)]
pub(crate) fn submit<R>(record: *mut R, now: u64, urgency: Urgency) {
    count(Counter::Delivered);
    // SAFETY: the caller has it from `reserve` and does not use it after.
    unsafe { bpf_ringbuf_submit(record.cast(), wake_flag(urgency, now)) }
}

/// Writes the beginning of a record of type `R`.
#[inline(always)]
pub(crate) fn header<R>(to: *mut Header, kind: Kind, now: u64) {
    let (pid, tid) = task::ids();
    // SAFETY: `to` is the start of a record that the caller owns.
    unsafe {
        addr_of_mut!((*to).at_ns).write(now);
        addr_of_mut!((*to).kind).write(kind as u16);
        addr_of_mut!((*to).len).write(size_of::<R>() as u16);
        addr_of_mut!((*to).cpu).write(bpf_get_smp_processor_id() as u32);
        addr_of_mut!((*to).pid).write(pid);
        addr_of_mut!((*to).tid).write(tid);
        addr_of_mut!((*to).comm).write(task::Current::get().name());
    }
}

/// Writes the socket and its past.
#[inline(always)]
pub(crate) fn socket(tcp: sock::Tcp, kept: *mut Past, to: *mut Socket, past_to: *mut Past) {
    // SAFETY: both targets lie in a record that the caller owns.
    unsafe {
        addr_of_mut!((*to).cookie).write(tcp.common().cookie());
        tcp.tuple(addr_of_mut!((*to).tuple));
    }
    tcp.fill(to);
    past::copy(kept, past_to);
}

#[inline(always)]
fn wake_flag(urgency: Urgency, now: u64) -> u64 {
    let ring = ptr::addr_of!(EVENTS).cast_mut().cast();
    // SAFETY: the ring is a live map.
    let full = || unsafe { bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA.into()) } >= WAKE_BYTES;
    let Some(last) = LAST_WAKE.get_ptr_mut(0) else { return BPF_RB_FORCE_WAKEUP.into() };
    // SAFETY: a live cell of this CPU.
    unsafe {
        if now.wrapping_sub(*last) < WAKE_EVERY_NS || (urgency == Urgency::Batch && !full()) {
            return BPF_RB_NO_WAKEUP.into();
        }
        *last = now;
    }
    BPF_RB_FORCE_WAKEUP.into()
}
