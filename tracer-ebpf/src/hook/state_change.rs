//! `sock:inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, or the start of
//! `inet_sk_state_store(struct sock *sk, int newstate)`
//!
//! `tcp_set_state()` ends in that function, and listen() calls it alone. What else tells the event is a connection that
//! becomes a socket, and a listen() that fails: neither is needed.
//!
//! Fires before the store: `sk_state` is still the old one, `sk_err` is already set.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/af_inet.c#L1339-L1352>

use super::wanted;
use crate::{
    attach::{Arguments as _, nested},
    counter::count,
    emit::{self, Urgency},
    kernel::setting,
    past, reconcile, refused, retry,
    sock::{Common, Tcp, is},
    task::Current,
};
use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use core::ptr::{self, addr_of_mut};
use tracer_common::{
    State::{Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent},
    counter::Counter,
    record::{
        Kind,
        socket::{
            FOLLOWED, INCOMING, OUTGOING, OWNER_CLOSE, OWNER_CONNECT, OWNER_LISTEN, Past, RESET_CONNECTING,
            TOLD,
        },
        state_change::StateChange,
    },
};

nested!(
    btf_tracepoint(function = "inet_sock_set_state"),
    BtfTracePointContext,
    state_change,
    state_change_nested,
    StateChange,
    |ctx: &BtfTracePointContext| take(ctx, ctx.arg(0), ctx.arg::<u32>(1) as u8, ctx.arg::<u32>(2) as u8)
);
nested!(
    fentry,
    FEntryContext,
    state_change_fentry,
    state_change_fentry_nested,
    StateChange,
    |ctx: &FEntryContext| stored(ctx, ctx.arg(0), ctx.arg::<u32>(1) as u8)
);

#[kprobe]
pub(crate) fn state_change_kprobe(ctx: ProbeContext) -> u32 {
    stored(&ctx, ctx.at(0) as *const u8, ctx.at(1) as u8);
    0
}

/// `inet_sk_state_store()` tells no old state: it is still there.
#[inline(always)]
fn stored(ctx: &impl EbpfContext, sk: *const u8, new: u8) {
    take(ctx, sk, Common(sk).state(), new);
}

#[inline(always)]
fn take(ctx: &impl EbpfContext, sk: *const u8, old: u8, new: u8) {
    if old == new {
        return; // a second close(), `ss -K` of a listener
    }
    let sk = Common(sk);
    look(ctx, sk, old, new);
    if is(new, Close) {
        past::end(sk);
    }
}

#[inline(always)]
fn look(ctx: &impl EbpfContext, sk: Common, old: u8, new: u8) {
    let passes = setting!(every_event) == 0 && passes_by(sk, old, new);
    if passes && !reconcile::may_abort(sk, new) {
        count(Counter::Unneeded);
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    if is(new, Close) {
        reconcile::closed(tcp, old);
    }
    if passes {
        count(Counter::Unneeded);
        return;
    }
    if !wanted(tcp) {
        return;
    }
    if change(tcp, old, new) {
        debug!(ctx, "state change of socket {}: told", tcp.common().known_cookie());
    } else {
        debug!(ctx, "state change of socket {}: kept", tcp.common().known_cookie());
    }
}

/// Whether a change tells nothing and leaves nothing to keep: that is decided before anything costs time, since it
/// is four of the ten changes of an orderly connection.
#[inline(always)]
fn passes_by(sk: Common, old: u8, new: u8) -> bool {
    if is(new, SynRecv) || is(new, FinWait2) || (is(new, Closing) && setting!(closing) == 0) {
        return true;
    }
    let orderly = is(old, LastAck) || is(old, Closing) || (is(old, FinWait2) && sk.done());
    orderly && is(new, Close) && sk.err() == 0
}

/// Keeps what is needed of a change; whether it is told.
#[inline(always)]
fn change(tcp: Tcp, old: u8, new: u8) -> bool {
    let now = emit::now();
    let kept = keep(tcp, old, new, now);
    let Some(urgency) = needed(tcp, old, new, kept, now) else {
        count(Counter::Unneeded);
        return false;
    };
    let Some(record) = emit::reserve::<StateChange>(Kind::StateChange, now) else { return false };
    // SAFETY: the record is reserved and ours.
    unsafe {
        emit::socket(tcp, kept, addr_of_mut!((*record).socket), addr_of_mut!((*record).past));
        addr_of_mut!((*record).old).write(old);
        addr_of_mut!((*record).new).write(new);
        addr_of_mut!((*record).reserved).write([0; 6]);
    }
    emit::submit(record, now, urgency);
    if is(new, Close) && !kept.is_null() {
        // SAFETY: a live value, checked above.
        unsafe { (*kept).flags |= TOLD }
    }
    true
}

/// Brings the socket's past up to date.
#[inline(always)]
fn keep(tcp: Tcp, old: u8, new: u8, now: u64) -> *mut Past {
    if is(new, SynSent) || is(new, Listen) || (is(old, SynRecv) && is(new, Established)) {
        let past = past::get_or_begin(tcp, now);
        if !past.is_null() {
            begin(past, new, now);
        }
        return past;
    }
    if is(new, SynRecv) {
        // Until 6.12 it still has its listener's cookie: `inet_csk_clone_lock()` takes it off later.
        return ptr::null_mut();
    }
    let past = past::get(tcp);
    if past.is_null() {
        return past;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        if is(new, Established) {
            (*past).established_ns = now;
            (*past).send_errno = 0; // the SYN did leave
        } else if is(new, CloseWait) {
            (*past).fin_received_ns = now;
        } else if (is(new, FinWait1) || is(new, LastAck)) && tcp.owned() {
            past::note_close(past, OWNER_CLOSE);
            (*past).fin_sent_ns = now;
        } else if is(new, Close) && tcp.owned() && tcp.err() == 0 {
            past::note_close(past, OWNER_CLOSE); // an abort; with an error pending an administrator's
        }
    }
    past
}

#[inline(always)]
fn begin(past: *mut Past, new: u8, now: u64) {
    // SAFETY: a live value, checked by the caller.
    unsafe {
        // A socket that connects again after a failure begins anew.
        (*past).born_ns = now;
        // One by one and volatile: together they would become a call of memset(), which goes byte by byte.
        addr_of_mut!((*past).fin_sent_ns).write_volatile(0);
        addr_of_mut!((*past).fin_received_ns).write_volatile(0);
        addr_of_mut!((*past).eof_read_ns).write_volatile(0);
        addr_of_mut!((*past).ttl).write_volatile(0);
        addr_of_mut!((*past).reset_ttl).write_volatile(0);
        addr_of_mut!((*past).marks).write_volatile(0);
        if is(new, SynSent) {
            (*past).established_ns = 0;
            (*past).flags = OUTGOING | (*past).flags & FOLLOWED;
            past::note_owner(past, OWNER_CONNECT);
        } else if is(new, Listen) {
            (*past).flags = 0;
            past::note_owner(past, OWNER_LISTEN);
        } else {
            (*past).established_ns = now;
            (*past).flags = INCOMING;
        }
    }
}

/// Whether a pattern or a flag needs this change, and how soon.
///
/// An orderly connection tells three changes, both ends together: into CLOSE_WAIT and out of it at the end that
/// closes second, FIN_WAIT2 to CLOSE (parked as a TIME_WAIT remainder) at the end that closes first.
#[inline(always)]
fn needed(tcp: Tcp, old: u8, new: u8, kept: *mut Past, now: u64) -> Option<Urgency> {
    if is(new, Close) && tcp.err() != 0 {
        retry::note_failure(tcp, kept, old, now);
        refused::settle(tcp, kept, old);
        return Some(Urgency::Now);
    }
    let needed = setting!(every_event) != 0
        || is(new, CloseWait)
        || is(old, CloseWait)
        || is(new, Listen)
        || (is(old, Listen) && is(new, Close))
        // An abort: its RST is told after it has left, which may be late where the process has to wait for a CPU.
        || (is(old, Established) && is(new, Close) && tcp.aborts())
        || (is(old, FinWait2) && is(new, Close) && tcp.dead() && !tcp.done())
        || (is(old, SynSent) && is(new, Close) && tcp.owned())
        || ((is(new, FinWait1) || is(new, LastAck)) && tcp.owned() && closes_as_told(tcp))
        || (is(new, Closing) && setting!(closing) != 0)
        || (is(old, SynSent)
            && is(new, Established)
            && (was_reset(kept) || retry::succeeded(tcp, kept, now)));
    needed.then_some(Urgency::Batch)
}

/// Whether it answered something by a RST while it connected.
#[inline(always)]
fn was_reset(kept: *const Past) -> bool {
    // SAFETY: NULL or a live value.
    !kept.is_null() && unsafe { (*kept).marks } & RESET_CONNECTING != 0
}

/// Whether its process dies, or its close() waits for the peer.
#[inline(always)]
fn closes_as_told(tcp: Tcp) -> bool {
    let task = Current::get();
    // A process that dies does not wait.
    task.exit_code() != 0 || (setting!(lingers) != 0 && !task.exiting() && tcp.linger() != 0)
}
