//! What `sock_send_length` and `sock_recv_length` share.

use super::wanted;
use crate::{
    past,
    sock::{Common, Tcp},
};
use tracer_common::record::socket::{OWNER_IO, Past, WROTE};

/// Errnos of the generic user-space interface that say "not now": no failure.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/errno-base.h>
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const EINPROGRESS: i32 = 115;
/// From here on results are restarts inside the kernel, which no program sees.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/errno.h#L14>
const ERESTARTSYS: i32 = 512;

/// Whether a call that returned this has failed.
#[inline(always)]
pub(crate) fn failed(result: i32) -> bool {
    result < 0 && result > -ERESTARTSYS && result != -EAGAIN && result != -EINTR && result != -EINPROGRESS
}

/// Learns the socket's owner from its caller; the socket's past, NULL when nothing is kept.
#[inline(always)]
pub(crate) fn learn_owner(sk: Common) -> *mut Past {
    let past = past::get_any(sk);
    if !past.is_null() {
        past::note_owner(past, OWNER_IO);
    }
    past
}

/// Notes that an answer is due, unless the peer has closed already.
#[inline(always)]
pub(crate) fn note_sent(past: *mut Past, sk: Common) {
    if past.is_null() {
        return;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        // Written only where it changes: a process that streams keeps its cache line clean.
        if (*past).flags & WROTE == 0 && !sk.done() {
            (*past).flags |= WROTE;
        }
    }
}

/// Notes that the peer has said something.
#[inline(always)]
pub(crate) fn note_received(past: *mut Past) {
    if past.is_null() {
        return;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        if (*past).flags & WROTE != 0 {
            (*past).flags &= !WROTE;
        }
    }
}

/// Sends a failed call as a record of the given type and kind.
macro_rules! send_failure {
    ($tcp:expr, $past:expr, $result:expr, $flags:expr, $record:ty, $kind:expr) => {
        if $crate::hook::length::wants_failure($tcp) {
            let now = $crate::emit::now();
            if let Some(record) = $crate::emit::reserve::<$record>($kind, now) {
                // SAFETY: the record is reserved and ours.
                unsafe {
                    use core::ptr::addr_of_mut;
                    let (socket, past) = (addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
                    $crate::emit::socket($tcp, $past, socket, past);
                    addr_of_mut!((*record).result).write($result);
                    addr_of_mut!((*record).flags).write($flags);
                }
                $crate::emit::submit(record, now, $crate::emit::Urgency::Batch);
            }
        }
    };
}

pub(crate) use send_failure;

/// Whether the filters want a failed call.
#[inline(always)]
pub(crate) fn wants_failure(tcp: Tcp) -> bool {
    wanted(tcp)
}
