//! `syscalls:sys_exit_connect` and its like, one program for the six calls that are looked at; where they cannot be had,
//! `raw_syscalls:sys_exit(struct pt_regs *regs, long ret)`.
//!
//! With either the kernel takes its slower way at every system call of the host; but with the former it looks up a bit
//! and calls no program for the calls that nobody looks at. The registers still hold the call's number and arguments, so
//! that nothing need be done when one begins.
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_syscalls.c#L682-L722>,
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/entry/common.c#L130-L160>

use super::length::failed;
use crate::{
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{load, number, offset, peek, peek_user, setting},
    sock::mapped,
    task::Current,
};
use aya_ebpf::{
    macros::{btf_map, btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use core::{mem::MaybeUninit, ptr::addr_of_mut};
use tracer_common::{
    counter::Counter,
    record::{
        Kind,
        call::{
            ACCEPT, CALLS, CONNECT, Call, FOLLOWED, GETSOCKOPT, IN_CGROUP, SETSOCKOPT, SHUTDOWN, SOCKET, TCP,
        },
        socket::Tuple,
    },
};

/// What of the user-space interface these calls take.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/socket.h#L190-L210>
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/socket.h#L9-L16>
const SOL_SOCKET: i32 = 1;
const SO_ERROR: i32 = 4;
/// connect() on a socket that connects already, or is connected: how programs ask whether it is done.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/errno.h>
const EISCONN: i32 = 106;
const EALREADY: i32 = 114;

/// Calls by kind.
#[btf_map]
static FAILURES: Seconds<{ CALLS as usize }> = Seconds::new();

#[tracepoint]
pub(crate) fn call(_: TracePointContext) -> i32 {
    let regs = Current::get().registers();
    // The result is where the number was passed in, before the process runs on.
    returned(regs, load::<u64>(regs, offset!(regs_result)) as i32)
}

#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn call_raw(ctx: BtfTracePointContext) -> i32 {
    returned(ctx.arg(0), ctx.arg::<u64>(1) as i32)
}

#[inline(always)]
fn returned(regs: *const u8, result: i32) -> i32 {
    if let Some(call) = kind(load(regs, offset!(regs_call)))
        && !other_numbering()
    {
        take(regs, call, result);
    }
    0
}

/// Which call a number is, if it is one of ours.
#[inline(always)]
fn kind(number: u64) -> Option<u32> {
    let is = |ours: u32| number == u64::from(ours);
    if is(number!(call_connect)) {
        Some(CONNECT)
    } else if is(number!(call_accept4)) || is(number!(call_accept)) {
        Some(ACCEPT)
    } else if is(number!(call_setsockopt)) {
        Some(SETSOCKOPT)
    } else if is(number!(call_getsockopt)) {
        Some(GETSOCKOPT)
    } else if is(number!(call_shutdown)) {
        Some(SHUTDOWN)
    } else {
        None
    }
}

/// Whether this is a 32-bit call, whose numbers mean others.
#[inline(always)]
fn other_numbering() -> bool {
    Current::get().status() & number!(call_compat) != 0
}

#[inline(always)]
fn take(regs: *const u8, call: u32, result: i32) {
    let (level, option) = if call == SETSOCKOPT || call == GETSOCKOPT {
        (load::<u64>(regs, offset!(regs_second)) as i32, load::<u64>(regs, offset!(regs_third)) as i32)
    } else {
        (0, 0)
    };
    let mut value = 0;
    if call == GETSOCKOPT && result == 0 && level == SOL_SOCKET && option == SO_ERROR {
        value = peek_user(load::<usize>(regs, offset!(regs_fourth))).unwrap_or(0);
    }
    let pending = call == CONNECT && (result == -EALREADY || result == -EISCONN);
    if value == 0 && (!failed(result) || pending) {
        return;
    }
    let fd = load::<u64>(regs, offset!(regs_first)) as i32;
    let socket = Current::get().socket(fd);
    let sk: usize = peek(socket, offset!(socket_sk));
    let mut tuple = MaybeUninit::<Tuple>::zeroed();
    let tcp = sk != 0 && read_tuple(sk, tuple.as_mut_ptr());
    if call == CONNECT && tcp {
        destination(load::<usize>(regs, offset!(regs_second)), tuple.as_mut_ptr());
    }
    let own_netns = if tcp { 0 } else { Current::get().netns() };
    if !tcp {
        // SAFETY: it was zeroed, and is ours.
        unsafe { addr_of_mut!((*tuple.as_mut_ptr()).netns).write(own_netns) }
    }
    if setting!(filtered) != 0 {
        let wanted = if tcp {
            filter::wants_cgroup(peek(sk, offset!(sock_cgroup))) && filter::wants(tuple.as_ptr())
        } else {
            filter::wants_process(own_netns, emit::now())
        };
        if !wanted {
            count(Counter::Filtered);
            return;
        }
    }
    let now = emit::now();
    if flood::beyond(&FAILURES, call, now) {
        count(Counter::CallFlood);
        return;
    }
    let Some(record) = emit::reserve::<Call>(Kind::Call, now) else { return };
    // SAFETY: the record is reserved and ours; the tuple was zeroed, and perhaps written since.
    unsafe {
        addr_of_mut!((*record).cookie).write(if tcp { peek(sk, offset!(cookie)) } else { 0 });
        addr_of_mut!((*record).tuple).write(tuple.assume_init());
        addr_of_mut!((*record).call).write(call);
        addr_of_mut!((*record).fd).write(fd);
        addr_of_mut!((*record).result).write(result);
        addr_of_mut!((*record).level).write(level);
        addr_of_mut!((*record).option).write(option);
        addr_of_mut!((*record).value).write(value);
        let of_tcp = |offset: u32| if tcp { peek::<u32>(sk, offset) } else { 0 };
        addr_of_mut!((*record).ack_backlog).write(of_tcp(offset!(ack_backlog)));
        addr_of_mut!((*record).max_ack_backlog).write(of_tcp(offset!(max_ack_backlog)));
        addr_of_mut!((*record).uid).write(of_tcp(offset!(uid)));
        let followed = setting!(follow) != 0 && Current::get().below(setting!(follow));
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = bit(socket != 0, SOCKET)
            | bit(tcp, TCP)
            | bit(followed, FOLLOWED)
            | bit(tcp && setting!(cgroup_count) != 0, IN_CGROUP);
        addr_of_mut!((*record).flags).write(flags);
        addr_of_mut!((*record).state).write(if tcp { peek(sk, offset!(state)) } else { 0 });
        addr_of_mut!((*record).cgroup).write(Current::get().cgroup());
        addr_of_mut!((*record).ns_pid).write(Current::get().ns_pid());
        addr_of_mut!((*record).reserved).write([0; 3]);
    }
    emit::submit(record, now, Urgency::Now);
}

/// Writes both ends of a socket, if it is one of TCP.
#[inline(always)]
fn read_tuple(sk: usize, to: *mut Tuple) -> bool {
    let family: u16 = peek(sk, offset!(family));
    let protocol: u16 = peek(sk, offset!(protocol));
    if protocol != IPPROTO_TCP || (family != AF_INET && family != AF_INET6) {
        return false;
    }
    let (local, remote) = if family == AF_INET {
        (mapped(peek(sk, offset!(saddr))), mapped(peek(sk, offset!(daddr))))
    } else {
        (peek(sk, offset!(v6_saddr)), peek(sk, offset!(v6_daddr)))
    };
    let tuple = Tuple {
        local,
        remote,
        local_port: u16::from_be(peek(sk, offset!(sport))),
        remote_port: u16::from_be(peek(sk, offset!(dport))),
        netns: peek(peek(sk, offset!(net)), offset!(net_inum)),
    };
    // SAFETY: the caller keeps it on its stack.
    unsafe { to.write(tuple) }
    true
}

/// Writes where connect() was to go: the socket may not know.
///
/// `struct sockaddr_in`: family, port, address; `struct sockaddr_in6`: family, port, flow, address.
#[inline(always)]
fn destination(address: usize, to: *mut Tuple) {
    let Some([family, port]) = peek_user::<[u16; 2]>(address) else { return };
    let remote = if family == AF_INET {
        peek_user::<u32>(address + 4).map(mapped)
    } else if family == AF_INET6 {
        peek_user::<[u64; 2]>(address + 8)
    } else {
        None
    };
    let Some(remote) = remote else { return };
    // SAFETY: as above.
    unsafe {
        addr_of_mut!((*to).remote).write(remote);
        addr_of_mut!((*to).remote_port).write(u16::from_be(port));
    }
}
