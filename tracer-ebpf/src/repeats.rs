//! What is kept beside a socket that sends segments again, from the first one on.

use crate::{
    beside::{self, Table},
    kernel::setting,
    packet,
    sock::Tcp,
};
use aya_ebpf::{btf_maps::SkStorage, macros::btf_map};

/// So many timeouts in a row come from a peer that answers nothing.
const SILENCE: u8 = 3;

/// Beside a socket.
#[derive(Clone, Copy)]
#[repr(C)]
struct Repeats {
    /// Since when segments are counted, in `CLOCK_BOOTTIME` nanoseconds.
    since_ns: u64,
    /// Segments sent, and those sent again among them, by then.
    sent: u32,
    resent: u32,
    /// The segment that was sent again last, and how often in a row.
    seq: u32,
    times: u32,
}

#[btf_map]
static REPEATS: SkStorage<Repeats> = SkStorage::new();

#[btf_map]
static REPEATED: Table<Repeats> = Table::new();

static NOTHING: Repeats = Repeats { since_ns: 0, sent: 0, resent: 0, seq: 0, times: 0 };

/// What was counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Over how long, in nanoseconds; 0 unless it is too much.
    pub(crate) over_ns: u64,
    /// Segments sent in that time, and those sent again among them.
    pub(crate) sent: u32,
    pub(crate) resent: u32,
    /// How often in a row this very segment was sent again.
    pub(crate) times: u32,
    /// Whether the share of the setting is reached.
    pub(crate) lossy: bool,
}

/// Forgets what was at an address.
#[inline(always)]
pub(crate) fn forget(address: u64) {
    let _ = REPEATED.remove(address); // few have sent anything again
}

/// Counts a segment that is sent again.
#[inline(always)]
pub(crate) fn count(tcp: Tcp, skb: *const u8, now: u64, counted: &mut Counted) {
    if setting!(lossy_share_ppm) == 0 && setting!(blackhole) == 0 {
        return;
    }
    let kept = beside::look_up(&REPEATS, &REPEATED, &NOTHING, tcp.common(), true);
    if kept.is_null() {
        return; // without memory nothing is told
    }
    // SAFETY: a live value, checked above; the socket's lock is held.
    let kept = unsafe { &mut *kept };
    let seq = packet::own_seq(skb);
    let again = kept.since_ns != 0 && kept.seq == seq;
    kept.times = if again { kept.times + 1 } else { 1 };
    kept.seq = seq;
    counted.times = kept.times;
    let (sent, resent) = tcp.segments_sent();
    let over = now.wrapping_sub(kept.since_ns);
    if kept.since_ns != 0 && over >= setting!(lossy_over_ns) {
        counted.sent = sent.wrapping_sub(kept.sent);
        counted.resent = resent.wrapping_sub(kept.resent);
        counted.over_ns = over;
        let share = u64::from(setting!(lossy_share_ppm));
        // Three timeouts in a row are no loss any more, but silence.
        counted.lossy = share != 0
            && tcp.retransmits() < SILENCE
            && counted.sent >= setting!(lossy_segments)
            && u64::from(counted.resent) * 1_000_000 >= share * u64::from(counted.sent);
    }
    if kept.since_ns == 0 || over >= setting!(lossy_over_ns) {
        (kept.since_ns, kept.sent, kept.resent) = (now, sent, resent);
    }
}
