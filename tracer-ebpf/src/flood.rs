//! How many records of a kind one CPU makes in a second: a flood must change neither CPU nor memory much.

use aya_ebpf::btf_maps::PerCpuArray;

/// Records a kind in a second.
const LIMIT: u64 = 1_000;
const SECOND_NS: u64 = 1_000_000_000;

/// By kind: when the second began that runs on this CPU, and the records made in it.
pub(crate) type Seconds<const KINDS: usize> = PerCpuArray<[u64; 2], KINDS>;

/// Counts a record; whether there were too many in this second.
#[inline(always)]
pub(crate) fn beyond<const KINDS: usize>(seconds: &Seconds<KINDS>, kind: u32, now: u64) -> bool {
    let Some(second) = seconds.get_ptr_mut(kind) else { return false };
    // SAFETY: a live cell of this CPU.
    let second = unsafe { &mut *second };
    if now.wrapping_sub(second[0]) >= SECOND_NS {
        *second = [now, 0];
    }
    second[1] += 1;
    second[1] > LIMIT
}
