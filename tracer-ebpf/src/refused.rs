//! Segments that did not leave this host, by the address of their socket: those that drop them do not have the socket as
//! the verifier wants it.

use crate::{
    emit,
    kernel::number,
    sock::{Tcp, is},
};
use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};
use tracer_common::{
    State::SynSent,
    layout::ABSENT,
    record::socket::{Past, SENT_AGAIN},
};

/// What the silence of a neighbour comes to.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/errno.h>
const EHOSTUNREACH: i32 = 113;

/// When the last one was dropped, in `CLOCK_BOOTTIME` nanoseconds, and the errno that stands for why; or [`LEFT`] and it.
#[btf_map]
static REFUSED: LruHashMap<u64, [u64; 2], 1024> = LruHashMap::new();

/// After segments that did not, one left at that time, as far as TCP knows: it may wait for the neighbour.
const LEFT: u64 = 1 << 8;
/// For so long the error that follows may be for those before it, in nanoseconds: the timers of TCP and of the neighbour
/// run out at the same tick, and the neighbour's error is taken after both.
const TOGETHER_NS: u64 = 20_000_000;

/// Notes a segment of this socket.
#[inline(always)]
pub(crate) fn note(sk: usize, errno: u8, now: u64) {
    // A full map evicts its oldest entry, so this fails only without memory: the connection is then told less of.
    let _ = REFUSED.insert(sk as u64, [now, errno.into()], 0);
}

/// A SYN that was sent again has left.
#[inline(always)]
pub(crate) fn left(tcp: Tcp, past: *const Past, now: u64) {
    // SAFETY: a live value, checked by the caller.
    let (errno, marks) = unsafe { ((*past).send_errno, (*past).marks) };
    let unseen =
        number!(retransmit_result_argument) == ABSENT && marks & SENT_AGAIN == 0 && tcp.retransmits() > 0;
    if errno != 0 || unseen {
        let _ = REFUSED.insert(tcp.common().0 as u64, [now, LEFT | EHOSTUNREACH as u64], 0); // as above
    } else {
        forget(tcp);
    }
}

/// A segment of this socket has left.
#[inline(always)]
pub(crate) fn forget(tcp: Tcp) {
    let _ = REFUSED.remove(tcp.common().0 as u64); // most have none
}

/// Whether an attempt to connect failed because no neighbour answered: timers have sent its SYN again, and none of these
/// has left. Where no event has the result of that, there is one only for segments that leave, and the first segment that
/// waited for the neighbour ends the attempt before it is thrown away.
/// `neigh_invalidate()`, <https://github.com/torvalds/linux/blob/v6.1/net/core/neighbour.c#L1035-L1065>
#[inline(always)]
fn never_left(tcp: Tcp, past: *const Past, old: u8) -> bool {
    number!(retransmit_result_argument) == ABSENT
        && is(old, SynSent)
        && tcp.err() == EHOSTUNREACH
        && tcp.retransmits() > 0
        // SAFETY: a live value, checked by the caller.
        && unsafe { (*past).marks } & SENT_AGAIN == 0
}

/// Brings what is kept of a connection that has failed up to date.
#[inline(always)]
pub(crate) fn settle(tcp: Tcp, past: *mut Past, old: u8) {
    if past.is_null() {
        return;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        if never_left(tcp, past, old) && (*past).send_errno == 0 {
            (*past).send_errno = EHOSTUNREACH as u8;
        }
    }
    let Some(noted) = REFUSED.get_ptr_mut(tcp.common().0 as u64) else { return };
    // SAFETY: both are live values; what is replaced meanwhile is another segment of the same socket.
    unsafe {
        let [at, errno] = *noted;
        let since = if (*past).established_ns == 0 { (*past).born_ns } else { (*past).established_ns };
        let left = errno & LEFT != 0;
        let apart = left && (tcp.err() != EHOSTUNREACH || emit::now().wrapping_sub(at) > TOGETHER_NS);
        // The address may have been another's.
        if at >= since && (*past).send_errno == 0 && !apart {
            (*past).send_errno = errno as u8;
        }
    }
}
