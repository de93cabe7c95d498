//! What is kept of open sockets, in a table of fixed size and found by cookie: the kernel's storage of sockets takes
//! memory and locks for each of them, and so about ten times as long.
//!
//! Cookies are counted up, so the sockets of one time lie in different places; where an older one has a socket's place,
//! the socket has the kernel's storage. <https://github.com/torvalds/linux/blob/v6.12/include/linux/cookie.h>

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_jiffies64, macros::btf_map};
use core::ptr::{self, addr_of_mut};
use tracer_common::record::socket::Past;

/// A power of two. With the sizes of today 8 MiB.
const PLACES: usize = 1 << 16;

/// A place.
#[repr(C)]
struct Slot {
    /// The cookie of whose place it is or was; 0 when it is nobody's.
    tag: u64,
    /// Since when nobody uses it, in jiffies.
    since: u64,
    /// The cookie of the socket that last wanted it.
    bidder: u64,
    /// The cookie of the socket that last took it, or nearly; 0 when it is to be had.
    taker: u64,
    /// Changes with each attempt, and tells nothing.
    fence: u64,
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
///
/// Linux before 5.12 refuses programs in which a word is compared and exchanged, even where they never come to it. So this
/// is the splitter of Moir and Anderson, which needs but loads and stores in their order: of those who try at once at most
/// one comes through. Where none does the place is lost, and its sockets have the kernel's storage from then on.
#[inline(always)]
pub(crate) fn take(cookie: u64) -> *mut Past {
    let slot = place(cookie);
    if slot.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: a live value; volatile since other CPUs read and write these words at the same time.
    unsafe {
        let tag = addr_of_mut!((*slot).tag).read_volatile();
        let used = tag != 0 && tag & ENDED == 0;
        if used || bpf_jiffies64().wrapping_sub((*slot).since) < GRACE {
            return ptr::null_mut();
        }
        let (bidder, taker) = (addr_of_mut!((*slot).bidder), addr_of_mut!((*slot).taker));
        bidder.write_volatile(cookie);
        in_order(addr_of_mut!((*slot).fence));
        if taker.read_volatile() != 0 {
            return ptr::null_mut();
        }
        taker.write_volatile(cookie);
        in_order(addr_of_mut!((*slot).fence));
        if bidder.read_volatile() != cookie {
            return ptr::null_mut();
        }
        addr_of_mut!((*slot).past).write(NOTHING);
        addr_of_mut!((*slot).tag).write_volatile(cookie);
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
            addr_of_mut!((*slot).taker).write_volatile(0);
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

/// What was stored before is there for every CPU before anything is loaded after: an atomic addition orders both on
/// x86-64.
///
/// # Safety
/// `word` lies in a live value of a map.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn in_order(word: *mut u64) {
    // SAFETY: the caller's; the core library has no such operation for this target.
    unsafe {
        core::arch::asm!("lock *(u64 *)({word} + 0) += {one}", word = in(reg) word, one = in(reg) 1_u64)
    }
}

/// The same where the programs are only checked.
///
/// # Safety
/// None is needed here.
#[cfg(not(target_arch = "bpf"))]
unsafe fn in_order(_: *mut u64) {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}
