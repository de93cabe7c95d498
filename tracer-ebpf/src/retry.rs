//! A process that is refused and at once connects to the same port at another address has lost nothing: the
//! second connection must travel, or the first would look like a failure.

use crate::sock::{Tcp, is};
use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    macros::btf_map,
};
use tracer_common::{State::SynSent, record::socket::Past};

/// For how long a failure makes successes interesting, in nanoseconds.
const WITHIN_NS: u64 = 1_000_000_000;

/// Process and remote port of failed connects.
#[btf_map]
static FAILED: LruHashMap<u64, u64, 1024> = LruHashMap::new();

/// Until when any process' success is interesting; spares the look-up on a host where nothing fails.
#[btf_map]
static UNTIL: Array<u64, 1> = Array::new();

#[inline(always)]
fn key(tcp: Tcp, past: *const Past) -> u64 {
    // SAFETY: a live value, checked by the callers.
    let owner = unsafe { (*past).owner };
    u64::from(owner) << 16 | u64::from(tcp.remote_port())
}

/// Remembers a connect that failed.
#[inline(always)]
pub(crate) fn note_failure(tcp: Tcp, past: *const Past, old: u8, now: u64) {
    if !is(old, SynSent) || past.is_null() {
        return;
    }
    let until = now + WITHIN_NS;
    // A full map evicts its oldest entry, so this fails only without memory; the finding is then as severe as
    // without a retry.
    let _ = FAILED.insert(key(tcp, past), until, 0);
    if let Some(cell) = UNTIL.get_ptr_mut(0) {
        // SAFETY: a live cell; a lost race leaves another CPU's time, which is as good.
        unsafe { *cell = until }
    }
}

/// Whether this success follows such a failure.
#[inline(always)]
pub(crate) fn succeeded(tcp: Tcp, past: *const Past, now: u64) -> bool {
    let recent = UNTIL.get_ptr_mut(0).is_some_and(|cell| {
        // SAFETY: a live cell.
        now < unsafe { *cell }
    });
    if !recent || past.is_null() {
        return false;
    }
    // SAFETY: the value may be replaced while it is read: both are times of the last second.
    unsafe { FAILED.get(key(tcp, past)) }.is_some_and(|until| now < *until)
}
