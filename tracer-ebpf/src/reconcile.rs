//! Counts, for each network namespace, the events that explain the kernel's own counters: user space sets both
//! against each other. Before every filter and flood limit, and only where a counter rises: an orderly close raises
//! none of them.

use crate::{
    kernel::{number, offset, peek, setting},
    sock::{Common, Tcp, is},
};
use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::PerCpuHashMap, macros::btf_map};
use tracer_common::{
    State::{Close, CloseWait, Established, Listen, SynRecv, SynSent},
    layout::ABSENT,
    reconcile::{Explained, KernelCounter, NAMESPACES, OVERFLOW_RESETS, WORDS},
};

/// By the namespace's cookie, or its inode number where the kernel gives no cookie. A full map leaves what it has
/// no room for unexplained. The size here is replaced by the loader's.
#[btf_map]
static EXPLAINED: PerCpuHashMap<u64, Explained, { NAMESPACES as usize }> = PerCpuHashMap::new();

static NOTHING: Explained = [0; WORDS];

/// `ETIMEDOUT` of the user-space interface.
const ETIMEDOUT: i32 = 110;
/// The SYN bit of a TCP header's flags.
const SYN: u8 = 2;

/// Whether a change of state that tells nothing may yet be a close() that aborts.
#[inline(always)]
pub(crate) fn may_abort(sk: Common, new: u8) -> bool {
    setting!(reconcile) != 0 && is(new, Close) && sk.lingers()
}

/// A socket changes to CLOSE.
///
/// - EstabResets: `tcp_set_state()`, and it alone.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>
/// - AttemptFails: `tcp_done()` in SYN_SENT or SYN_RECV, not close() and connect(), which own the socket.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>
/// - TCPAbortOnTimeout: `tcp_write_err()`.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_timer.c>
/// - TCPAbortOnData: close() with SO_LINGER 0, also where no RST is sent.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>
#[inline(always)]
pub(crate) fn closed(tcp: Tcp, old: u8) {
    if setting!(reconcile) == 0 {
        return;
    }
    let err = tcp.err();
    let reset = is(old, Established) || is(old, CloseWait);
    let attempt = (is(old, SynSent) && (err != 0 || !tcp.owned()))
        // A newborn child is given up with its descriptor gone; a listener's end tells its children nothing.
        || (is(old, SynRecv) && (err != 0 || tcp.dead()));
    let timeout = err != 0 && timed_out(tcp, err);
    let aborted = err == 0 && !is(old, Listen) && tcp.lingers_not();
    if !(reset || attempt || timeout || aborted) {
        return;
    }
    let Some(known) = of(tcp.common().net() as usize) else { return };
    if reset {
        raise(known, KernelCounter::EstabResets as usize);
    }
    if attempt {
        raise(known, KernelCounter::AttemptFails as usize);
    }
    if timeout {
        raise(known, KernelCounter::AbortOnTimeout as usize);
    }
    if aborted {
        raise(known, KernelCounter::AbortOnData as usize);
    }
}

/// Whether a timer gave up. It leaves ETIMEDOUT, or the ICMP error that had come before; an ICMP error that ends an
/// attempt at once leaves the timer of the SYN pending, which the timer itself takes off first.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_timer.c>
#[inline(always)]
fn timed_out(tcp: Tcp, err: i32) -> bool {
    err == ETIMEDOUT || (err == tcp.soft_err() && tcp.pending_timer() == 0)
}

/// A reset is sent: for a full socket or none, answering a segment with these flags or none.
///
/// - OutRsts: `tcp_send_active_reset()`, `tcp_v4_send_reset()`, `tcp_v6_send_response()`; the last counts none that
///   finds no route. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c>
/// - TCPAbortOnClose, TCPAbortOnLinger, TCPAbortOnMemory: `__tcp_close()`, and `tcp_out_of_resources()` for the last.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c>
/// - TCPAbortOnData: `tcp_rcv_state_process()`, each time it has data refused.
///   <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c>
#[inline(always)]
pub(crate) fn reset(net: usize, full: Option<Tcp>, answers: Option<u8>, reason: i32) {
    if setting!(reconcile) == 0 {
        return;
    }
    let Some(known) = of(net) else { return };
    raise(known, KernelCounter::OutRsts as usize);
    let cause = if number!(reset_reason_argument) == ABSENT {
        full.and_then(|tcp| inferred(tcp, answers.is_some()))
    } else {
        stated(full, answers, reason as u32)
    };
    match cause {
        Some(Cause::Close) => raise(known, KernelCounter::AbortOnClose as usize),
        Some(Cause::Data) => raise(known, KernelCounter::AbortOnData as usize),
        Some(Cause::Linger) => raise(known, KernelCounter::AbortOnLinger as usize),
        Some(Cause::Memory) => raise(known, KernelCounter::AbortOnMemory as usize),
        Some(Cause::Overflow) => raise(known, OVERFLOW_RESETS),
        None => {}
    }
}

/// Why a reset is sent, where a counter tells it from others.
enum Cause {
    Close,
    Data,
    Linger,
    Memory,
    Overflow,
}

/// By the reason that the kernel gives.
#[inline(always)]
fn stated(full: Option<Tcp>, answers: Option<u8>, reason: u32) -> Option<Cause> {
    if reason == number!(reset_abort_on_data) {
        Some(Cause::Data)
    } else if reason == number!(reset_abort_on_close) {
        // MPTCP gives it for subflows that are still open.
        full.filter(|tcp| is(tcp.common().state(), Close)).map(|_| Cause::Close)
    } else if reason == number!(reset_abort_on_linger) {
        Some(Cause::Linger)
    } else if reason == number!(reset_abort_on_memory) {
        Some(Cause::Memory)
    } else if reason == number!(reset_invalid_syn) && answers.is_some_and(|flags| flags & SYN == 0) {
        // An invalid SYN is a failed attempt; what has no SYN met a full accept queue.
        Some(Cause::Overflow)
    } else {
        None
    }
}

/// By the socket, on kernels before 6.10.
#[inline(always)]
fn inferred(tcp: Tcp, passive: bool) -> Option<Cause> {
    let closed = is(tcp.common().state(), Close);
    match (passive, closed, tcp.dead()) {
        (true, true, _) => Some(Cause::Data),
        (false, true, true) if tcp.linger2() < 0 => Some(Cause::Linger),
        (false, true, true) => Some(Cause::Memory),
        (false, true, false) if tcp.owned() && tcp.shut() && tcp.unread() > 0 => Some(Cause::Close),
        _ => None,
    }
}

/// What is known of a namespace, begun when nothing is.
#[inline(always)]
fn of(net: usize) -> Option<*mut Explained> {
    if net == 0 {
        return None;
    }
    let key = if offset!(net_cookie) == ABSENT {
        u64::from(peek::<u32>(net, offset!(net_inum)))
    } else {
        peek(net, offset!(net_cookie))
    };
    if let Some(known) = EXPLAINED.get_ptr_mut(key) {
        return Some(known);
    }
    // Fails when another CPU was first, which is as good, or when there is no room.
    let nothing: &Explained = &NOTHING;
    let _ = EXPLAINED.insert(key, nothing, BPF_NOEXIST.into());
    EXPLAINED.get_ptr_mut(key)
}

#[inline(always)]
fn raise(known: *mut Explained, index: usize) {
    // SAFETY: a live value of this CPU; the index is within it.
    unsafe { (*known)[index] += 1 }
}
