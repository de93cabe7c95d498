//! Which processes own, or lately owned, a connection that passes the filters: what has no addresses passes for them.

use crate::{kernel::setting, task};
use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};

/// For how long a process counts after it last acted on such a connection, in nanoseconds.
const WITHIN_NS: u64 = 10_000_000_000;

/// When each process last did, in `CLOCK_BOOTTIME` nanoseconds.
#[btf_map]
static OWNERS: LruHashMap<u32, u64, 4096> = LruHashMap::new();

/// What was noted is noted again after so long, in nanoseconds: replacing an entry takes ten times as long as a look.
const AGAIN_NS: u64 = 1_000_000_000;

/// Notes that the running process acts on a connection that passes; without filters everything does.
#[inline(always)]
pub(crate) fn note(now: impl FnOnce() -> u64) {
    if setting!(filtered) == 0 {
        return;
    }
    let (pid, now) = (task::ids().0, now());
    // SAFETY: the value may be replaced while it is read: both are times of this process.
    if unsafe { OWNERS.get(pid) }.is_none_or(|at| now.wrapping_sub(*at) > AGAIN_NS) {
        // A full map evicts its oldest entry, so this fails only without memory: the call is then left out.
        let _ = OWNERS.insert(pid, now, 0);
    }
}

/// Whether the running process lately did.
#[inline(always)]
pub(crate) fn recent(now: u64) -> bool {
    // SAFETY: the value may be replaced while it is read: both are times of this process.
    unsafe { OWNERS.get(task::ids().0) }.is_some_and(|at| now.wrapping_sub(*at) < WITHIN_NS)
}
