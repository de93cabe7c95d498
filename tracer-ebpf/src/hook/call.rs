//! The end of `__sys_connect()` and its like; or `syscalls:sys_exit_connect` and its like, one program for the six calls
//! that are looked at; where they cannot be had, `raw_syscalls:sys_exit(struct pt_regs *regs, long ret)`.
//!
//! The bodies of the calls cost nothing elsewhere. With either tracepoint the kernel takes its slower way at every system call of the host; but with the former it looks up a bit
//! and calls no program for the calls that nobody looks at. The registers still hold the call's number and arguments, so
//! that nothing need be done when one begins.
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_syscalls.c#L682-L722>,
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/entry/common.c#L130-L160>

use super::length::failed;
use crate::{
    attach::{Arguments as _, Function, enter, leave, nested},
    counter::count,
    emit::{self, Urgency},
    filter,
    flood::{self, Seconds},
    kernel::{load, number, offset, peek, peek_user, setting},
    sock::{AF_INET, AF_INET6, Common, mapped, peek_tuple},
    task::Current,
};
use aya_ebpf::{
    macros::{btf_map, btf_tracepoint, fexit, kprobe, kretprobe, tracepoint},
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RetProbeContext, TracePointContext},
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
    returned(regs, load::<u64>(regs, offset!(regs_result)) as i32);
    0
}

nested!(
    btf_tracepoint(function = "sys_exit"),
    BtfTracePointContext,
    call_raw,
    call_raw_nested,
    CallRaw,
    |ctx: &BtfTracePointContext| returned(ctx.arg(0), ctx.arg::<u64>(1) as i32),
    first_of_process
);

#[inline(always)]
fn returned(regs: *const u8, result: i32) {
    let number = load(regs, offset!(regs_call));
    // Most calls succeed, and only getsockopt() has something to tell then.
    if result >= 0 && number != u64::from(number!(call_getsockopt)) {
        return;
    }
    if let Some(call) = kind(number)
        && !other_numbering()
    {
        let argument = |offset| load::<u64>(regs, offset);
        let first = argument(offset!(regs_first));
        let (second, third) = (argument(offset!(regs_second)), argument(offset!(regs_third)));
        take(call, [first, second, third, argument(offset!(regs_fourth))], result);
    }
}

/// Declares the programs at the end of the body of a call, whose first `$count` arguments are the call's.
macro_rules! body {
    ($fexit:ident, $nested:ident, $kprobe:ident, $kretprobe:ident, $function:ident, $call:ident, $returns:literal) => {
        nested!(fexit, FExitContext, $fexit, $nested, $function, |ctx: &FExitContext| {
            let argument = |number| if number < $returns { ctx.at(number) } else { 0 };
            let arguments = [argument(0), argument(1), argument(2), argument(3)];
            take($call, arguments, ctx.at($returns) as i32);
        });

        #[kprobe]
        pub(crate) fn $kprobe(ctx: ProbeContext) -> u32 {
            enter(Function::$function, [ctx.at(0), ctx.at(1), ctx.at(2), ctx.at(3)]);
            0
        }

        #[kretprobe]
        pub(crate) fn $kretprobe(ctx: RetProbeContext) -> u32 {
            if let Some(arguments) = leave(Function::$function) {
                take($call, arguments, ctx.ret::<u64>() as i32);
            }
            0
        }
    };
}

body!(
    call_connect_fexit,
    call_connect_fexit_nested,
    call_connect_kprobe,
    call_connect_kretprobe,
    Connect,
    CONNECT,
    3
);
body!(
    call_accept_fexit,
    call_accept_fexit_nested,
    call_accept_kprobe,
    call_accept_kretprobe,
    Accept,
    ACCEPT,
    4
);
body!(
    call_shutdown_fexit,
    call_shutdown_fexit_nested,
    call_shutdown_kprobe,
    call_shutdown_kretprobe,
    Shutdown,
    SHUTDOWN,
    2
);
body!(
    call_setsockopt_fexit,
    call_setsockopt_fexit_nested,
    call_setsockopt_kprobe,
    call_setsockopt_kretprobe,
    SetSockOpt,
    SETSOCKOPT,
    5
);
body!(
    call_getsockopt_fexit,
    call_getsockopt_fexit_nested,
    call_getsockopt_kprobe,
    call_getsockopt_kretprobe,
    GetSockOpt,
    GETSOCKOPT,
    5
);

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
fn take(call: u32, [first, second, third, fourth]: [u64; 4], result: i32) {
    let options = call == SETSOCKOPT || call == GETSOCKOPT;
    let (level, option) = if options { (second as i32, third as i32) } else { (0, 0) };
    let mut value = 0;
    if call == GETSOCKOPT && result == 0 && level == SOL_SOCKET && option == SO_ERROR {
        value = peek_user(fourth as usize).unwrap_or(0);
    }
    let pending = call == CONNECT && (result == -EALREADY || result == -EISCONN);
    if value == 0 && (!failed(result) || pending) {
        return;
    }
    let fd = first as i32;
    let socket = Current::get().socket(fd);
    let sk: usize = peek(socket, offset!(socket_sk));
    let mut tuple = MaybeUninit::<Tuple>::zeroed();
    let tcp = sk != 0 && peek_tuple(sk, tuple.as_mut_ptr());
    if call == CONNECT && tcp {
        destination(second as usize, tuple.as_mut_ptr());
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
        addr_of_mut!((*record).cookie).write(if tcp { Common(sk as *const u8).noted_cookie() } else { 0 });
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
