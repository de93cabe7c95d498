//! `iter/tcp`: every TCP socket of the namespace that opened the iterator.
//!
//! The context's members are fixed by `struct bpf_iter__tcp`; the loader checks them against BTF.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L2904-L2910>

use crate::{
    counter::count,
    emit, hook, past,
    sock::{Common, Tcp, is},
};
use aya_ebpf::helpers::generated::bpf_seq_write;
use core::{mem::MaybeUninit, ptr::addr_of_mut};
use tracer_common::{
    State::{CloseWait, FinWait2, Listen},
    counter::Counter,
    record::{
        Kind,
        sample::Sample,
        socket::{PREEXISTING, Past},
    },
};

/// `struct bpf_iter__tcp`
#[repr(C)]
pub(crate) struct Context {
    meta: *const Meta,
    sk: *const u8,
}

/// `struct bpf_iter_meta`
#[repr(C)]
pub(crate) struct Meta {
    pub(crate) seq: *mut u8,
}

/// Marks every socket as older than the tracer, and tells those that wait for something.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) fn sample(ctx: *mut Context) -> i32 {
    // SAFETY: the kernel passes its context; `sk` is NULL after the last socket.
    let (meta, sk) = unsafe { ((*ctx).meta, Common((*ctx).sk)) };
    if sk.0.is_null() {
        return 0;
    }
    let Some(tcp) = sk.tcp() else { return 0 };
    if !hook::passes(tcp) {
        return 0;
    }
    let now = emit::now();
    let past = mark(tcp, now);
    let state = sk.state();
    if is(state, Listen) || is(state, CloseWait) || (is(state, FinWait2) && tcp.dead()) {
        tell(meta, tcp, past, now);
    }
    0
}

/// The socket's past; one that begins here is of a socket older than the tracer.
#[inline(always)]
fn mark(tcp: Tcp, now: u64) -> *mut Past {
    let known = past::get(tcp);
    if !known.is_null() {
        return known;
    }
    let past = past::get_or_begin(tcp, now);
    if !past.is_null() {
        count(Counter::Scanned);
        // SAFETY: a live value, checked above.
        unsafe { (*past).flags |= PREEXISTING }
    }
    past
}

#[inline(always)]
fn tell(meta: *const Meta, tcp: Tcp, past: *mut Past, now: u64) {
    let mut sample = MaybeUninit::<Sample>::uninit();
    let record = sample.as_mut_ptr();
    emit::header::<Sample>(record.cast(), Kind::Sample, now);
    // SAFETY: every field is written before the helper reads them; it copies the record out.
    unsafe {
        emit::socket(tcp, past, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        bpf_seq_write((*meta).seq.cast(), record.cast(), size_of::<Sample>() as u32);
    }
}
