//! What is kept of open sockets, in a table of fixed size and found by cookie: the kernel's storage of sockets takes
//! memory and locks for each of them, and so about ten times as long.
//!
//! Cookies are counted up, so the sockets of one time lie in different places; where an older one has a socket's place,
//! the socket has the kernel's storage. <https://github.com/torvalds/linux/blob/v6.12/include/linux/cookie.h>

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_jiffies64, macros::btf_map};
use core::ptr::{self, addr_of_mut};
use tracer_common::record::socket::Past;

/// A power of two. With the sizes of today 6.5 MiB.
const PLACES: usize = 1 << 16;

/// A place.
#[repr(C)]
struct Slot {
    /// The cookie of whose place it is or was; 0 when it is nobody's.
    tag: u64,
    /// Since when nobody uses it, in jiffies.
    since: u64,
    past: Past,
}

#[btf_map]
static PLACED: Array<Slot, PLACES> = Array::new();

/// A bit of a tag: its socket has ended. What comes right after its end still finds what was kept.
const ENDED: u64 = 1 << 63;
/// For so many jiffies what has no owner is left alone: a program on another CPU may yet write to it.
const GRACE: u64 = 25;

#[inline(always)]
fn place(cookie: u64) -> *mut Slot {
    PLACED.get_ptr_mut(cookie as u32 & (PLACES as u32 - 1)).unwrap_or(ptr::null_mut())
}

/// What is kept of the socket with this cookie, which is not 0; NULL when nothing is here.
#[inline(always)]
pub(crate) fn find(cookie: u64) -> *mut Past {
    let slot = place(cookie);
    // SAFETY: NULL or a live value.
    unsafe {
        if slot.is_null() || (*slot).tag & !ENDED != cookie {
            return ptr::null_mut();
        }
        addr_of_mut!((*slot).past)
    }
}

/// Takes the place of the socket with this cookie and clears it; NULL when it is another's.
#[inline(always)]
pub(crate) fn take(cookie: u64) -> *mut Past {
    let slot = place(cookie);
    if slot.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: a live value; two CPUs may take a place at once, and one gets it.
    unsafe {
        let tag = ptr::read_volatile(addr_of_mut!((*slot).tag));
        let used = tag != 0 && tag & ENDED == 0;
        if used || bpf_jiffies64().wrapping_sub((*slot).since) < GRACE {
            return ptr::null_mut();
        }
        if compare_exchange(addr_of_mut!((*slot).tag), tag, cookie) != tag {
            return ptr::null_mut();
        }
        addr_of_mut!((*slot).past).write(NOTHING);
        addr_of_mut!((*slot).past)
    }
}

/// Lets go of a socket's place: what is kept is found until another takes it, or not `any_more`.
#[inline(always)]
pub(crate) fn leave(cookie: u64, any_more: bool) {
    let slot = place(cookie);
    // SAFETY: NULL or a live value; only the end of its socket changes a tag that is in use.
    unsafe {
        if !slot.is_null() && (*slot).tag == cookie {
            (*slot).since = bpf_jiffies64();
            addr_of_mut!((*slot).tag).write_volatile(if any_more { cookie | ENDED } else { 0 });
        }
    }
}

/// All zero.
pub(crate) static NOTHING: Past = Past {
    born_ns: 0,
    established_ns: 0,
    fin_sent_ns: 0,
    fin_received_ns: 0,
    eof_read_ns: 0,
    cgroup: 0,
    owner: 0,
    ns_pid: 0,
    exit_code: 0,
    comm: [0; 16],
    source: 0,
    flags: 0,
    send_errno: 0,
    soft_told: 0,
    ttl: 0,
    reset_ttl: 0,
    marks: 0,
    reserved: [0; 5],
};

/// Writes `new` where `old` is; what was there. Since Linux 5.12, as the cookies that are asked for here.
///
/// # Safety
/// `word` lies in a live value of a map.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    let found;
    // SAFETY: the caller's; the core library has no such operation for this target.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") old => found,
        );
    }
    found
}

/// The same where the programs are only checked.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "bpf"))]
unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
    // SAFETY: the caller's.
    let word = unsafe { AtomicU64::from_ptr(word) };
    word.compare_exchange(old, new, SeqCst, SeqCst).unwrap_or_else(|found| found)
}
