//! What is kept beside each socket: its owner and the times of its life.

use crate::{
    beside::{self, Table},
    counter::count_loss,
    emit,
    kernel::setting,
    matching, repeats,
    slot::{self, NOTHING},
    sock::{Common, Tcp},
    task::{self, Current},
};
use aya_ebpf::{btf_maps::SkStorage, macros::btf_map};
use core::ptr;
use tracer_common::{
    counter::Counter,
    record::socket::{CLOSED_BY_EXIT, FOLLOWED, Past},
};

#[btf_map]
static PAST: SkStorage<Past> = SkStorage::new();

#[btf_map]
static PASTS: Table<Past> = Table::new();

/// The socket's past, NULL when nothing is kept.
#[inline(always)]
pub(crate) fn get(tcp: Tcp) -> *mut Past {
    get_any(tcp.common())
}

/// The past of a socket of any kind; only those of TCP have one.
#[inline(always)]
pub(crate) fn get_any(sk: Common) -> *mut Past {
    if beside::by_address() {
        return beside::look_up(&PAST, &PASTS, &NOTHING, sk, false);
    }
    let cookie = sk.known_cookie();
    if cookie == 0 {
        return ptr::null_mut(); // it would have one if anything were kept
    }
    let placed = slot::find(cookie);
    if placed.is_null() { beside::look_up(&PAST, &PASTS, &NOTHING, sk, false) } else { placed }
}

/// The socket's past, begun now when there is none; NULL when the kernel has no memory, which is counted.
///
/// The cookie is generated here too: the TIME_WAIT remainder inherits what the socket has when it is parked, before
/// the change of state is told. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_minisocks.c#L290-L395>
#[inline(always)]
pub(crate) fn get_or_begin(tcp: Tcp, now: u64) -> *mut Past {
    let sk = tcp.common();
    if beside::was_destroyed(sk) {
        forget(sk.0 as u64);
    }
    let known = get(tcp);
    if !known.is_null() {
        return known;
    }
    let cookie = sk.cookie();
    let placed = if beside::by_address() { ptr::null_mut() } else { slot::take(cookie) };
    if !placed.is_null() {
        return placed;
    }
    let past = beside::look_up(&PAST, &PASTS, &NOTHING, sk, true);
    if past.is_null() {
        count_loss(Counter::NoStorage, now);
    }
    past
}

/// The socket has ended. What a process still holds may tell of itself much later: its past moves to the kernel's
/// storage, which lasts as long as the socket.
#[inline(always)]
pub(crate) fn end(sk: Common) {
    if beside::by_address() {
        return;
    }
    let cookie = sk.known_cookie();
    if cookie == 0 {
        return;
    }
    if sk.dead() {
        return slot::leave(cookie, true);
    }
    let placed = slot::find(cookie);
    if placed.is_null() {
        return;
    }
    let stored = beside::look_up(&PAST, &PASTS, &NOTHING, sk, true);
    if stored.is_null() {
        return; // without memory it stays where it is
    }
    copy(placed, stored);
    slot::leave(cookie, false);
}

/// Forgets what was at an address.
#[inline(always)]
pub(crate) fn forget(address: u64) {
    let _ = PASTS.remove(address); // one that is older than the tracer may have none
    repeats::forget(address);
    beside::forget(address);
}

/// Copies a past into a record; NULL becomes "nothing known".
#[inline(always)]
pub(crate) fn copy(from: *const Past, to: *mut Past) {
    // SAFETY: `to` lies in a record that the caller owns; `from` is NULL or a live value.
    unsafe {
        if !from.is_null() {
            return to.copy_from_nonoverlapping(from, 1);
        }
        // Volatile: together they would become a call of memset(), which goes byte by byte.
        for word in 0..size_of::<Past>() / size_of::<u64>() {
            to.cast::<u64>().add(word).write_volatile(0);
        }
    }
}

/// Notes that the running process owns the socket; kernel threads own none.
#[inline(always)]
pub(crate) fn note_owner(past: *mut Past, source: u8) {
    let (pid, _) = task::ids();
    matching::note(emit::now);
    // SAFETY: `past` is a live value, checked by the caller.
    unsafe {
        if (*past).owner == pid {
            return;
        }
        let task = Current::get();
        if task.kernel_thread() {
            return;
        }
        (*past).owner = pid;
        (*past).ns_pid = task.ns_pid();
        (*past).cgroup = task.cgroup();
        if setting!(follow) != 0 && task.below(setting!(follow)) {
            (*past).flags |= FOLLOWED;
        }
        (*past).source = source;
        (*past).comm = task.name();
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
