//! What is kept beside a socket: in the kernel's storage of sockets; where programs have none, by the socket's address
//! until it is destroyed.
//!
//! Tracing programs have that storage since 5.11 and socket cookies since 5.12, programs at kernel probes have neither.
//! <https://github.com/torvalds/linux/blob/v6.12/net/core/bpf_sk_storage.c#L343-L425>

use crate::{kernel::number, sock::Common};
use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::{HashMap, PerCpuArray, SkStorage},
    helpers::generated::{bpf_get_smp_processor_id, bpf_sk_storage_get},
    macros::btf_map,
};
use core::ptr;
use tracer_common::record::socket::OWN_NUMBER;

/// Values by the address of a socket. The size here is replaced by the loader's.
pub(crate) type Table<T> = HashMap<u64, T, 1>;

/// Numbers of sockets that have no cookie for the programs, and whether they were destroyed.
#[btf_map]
static IDENTITIES: Table<[u64; 2]> = Table::new();

/// The last number that each CPU gave.
#[btf_map]
static NUMBERED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The sockets that each CPU has destroyed last, and after them where the next one goes.
#[btf_map]
static DESTROYED: PerCpuArray<[u64; GRACE + 1], 1> = PerCpuArray::new();

/// So many sockets are destroyed on a CPU before one is forgotten: some tell of themselves after their end.
/// `tcp_rcv_state_process()` lets an orphan end before it answers by a RST.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L6714-L6732>
const GRACE: usize = 64;
/// Where the CPU stands in a number.
const CPU_SHIFT: u32 = 48;

/// Whether values are found by address.
#[inline(always)]
pub(crate) fn by_address() -> bool {
    number!(probed) != 0
}

/// The value of a socket, `create`d from `nothing`, all of it zero, when there is none; NULL when there is none, or no
/// memory or room.
#[inline(always)]
pub(crate) fn look_up<T>(
    storage: &'static SkStorage<T>,
    table: &'static Table<T>,
    nothing: &'static T,
    sk: Common,
    create: bool,
) -> *mut T {
    if by_address() {
        return find(table, nothing, sk, create);
    }
    let map = ptr::from_ref(storage).cast_mut().cast();
    let flags = if create { BPF_SK_STORAGE_GET_F_CREATE.into() } else { 0 };
    // SAFETY: the map is live; the helper answers NULL for what is no full socket; the new value is all zero.
    unsafe { bpf_sk_storage_get(map, sk.0.cast_mut().cast(), ptr::null_mut(), flags) }.cast()
}

#[inline(always)]
fn find<T>(table: &'static Table<T>, nothing: &'static T, sk: Common, create: bool) -> *mut T {
    let key = sk.0 as u64;
    if let Some(known) = table.get_ptr_mut(key) {
        return known;
    }
    if !create || table.insert(key, nothing, BPF_NOEXIST.into()).is_err() {
        return ptr::null_mut();
    }
    table.get_ptr_mut(key).unwrap_or(ptr::null_mut())
}

/// The number of a socket, 0 when it has none; also of one that was just destroyed.
#[inline(always)]
pub(crate) fn known_identity(sk: Common) -> u64 {
    // SAFETY: a live value, of which the number is never changed.
    IDENTITIES.get_ptr_mut(sk.0 as u64).map_or(0, |known| unsafe { (*known)[0] })
}

/// Whether the socket at this address was destroyed, so that what is there now is another.
#[inline(always)]
pub(crate) fn was_destroyed(sk: Common) -> bool {
    // SAFETY: a live value.
    by_address() && IDENTITIES.get_ptr_mut(sk.0 as u64).is_some_and(|known| unsafe { (*known)[1] } != 0)
}

/// The number of a full socket, given when it has none; 0 where there is no room.
#[inline(always)]
pub(crate) fn identity(sk: Common) -> u64 {
    let known = known_identity(sk);
    if known != 0 {
        return known;
    }
    let Some(last) = NUMBERED.get_ptr_mut(0) else { return 0 };
    // SAFETY: has no arguments; a live cell of this CPU.
    let number = unsafe {
        *last += 1;
        OWN_NUMBER | u64::from(bpf_get_smp_processor_id() as u32) << CPU_SHIFT | *last
    };
    let added = IDENTITIES.insert(sk.0 as u64, [number, 0], BPF_NOEXIST.into());
    if added.is_ok() { number } else { known_identity(sk) }
}

/// Notes that a socket was destroyed; the address of one to be forgotten now, 0 for none.
#[inline(always)]
pub(crate) fn destroyed(sk: Common) -> u64 {
    let Some(known) = IDENTITIES.get_ptr_mut(sk.0 as u64) else { return sk.0 as u64 };
    let Some(last) = DESTROYED.get_ptr_mut(0) else { return 0 };
    // SAFETY: live values, the second of this CPU; the index is within it.
    unsafe {
        (*known)[1] = 1;
        let next = (*last)[GRACE] as usize & (GRACE - 1);
        (*last)[GRACE] = (*last)[GRACE].wrapping_add(1);
        core::mem::replace(&mut (*last)[next], sk.0 as u64)
    }
}

/// Forgets the number of what was at an address.
#[inline(always)]
pub(crate) fn forget(address: u64) {
    let _ = IDENTITIES.remove(address); // some have none
}
