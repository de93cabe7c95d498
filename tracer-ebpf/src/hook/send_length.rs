//! `sock:sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3; or the end of
//! `tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)`
//!
//! What every send path returns, in process context; io_uring and splice included.
//! <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L716-L740>

use super::length::{failed, learn_owner, note_sent, send_failure};
use crate::{
    attach::{Arguments as _, Function, enter, leave, nested},
    kernel::{number, offset, peek},
    sock::Common,
};
use aya_ebpf::{
    macros::{btf_tracepoint, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RetProbeContext},
};
use tracer_common::record::{Kind, send_length::SendLength};

nested!(
    btf_tracepoint(function = "sock_send_length"),
    BtfTracePointContext,
    send_length,
    send_length_nested,
    Send,
    |ctx: &BtfTracePointContext| take(ctx.arg(0), ctx.arg::<u32>(1) as i32, ctx.arg::<u32>(2) as i32),
    first_of_process
);
nested!(fexit, FExitContext, send_length_fexit, send_length_fexit_nested, Send, |ctx: &FExitContext| {
    take(ctx.arg(0), ctx.at(number!(send_returns)) as i32, flags(ctx.arg::<u64>(1) as usize));
});

#[kprobe]
pub(crate) fn send_length_kprobe(ctx: ProbeContext) -> u32 {
    enter(Function::Send, [ctx.at(0), ctx.at(1), 0, 0]);
    0
}

#[kretprobe]
pub(crate) fn send_length_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some([sk, message, ..]) = leave(Function::Send) {
        take(sk as *const u8, ctx.ret::<u64>() as i32, flags(message as usize));
    }
    0
}

// `tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags)`, until 6.4.
// <https://github.com/torvalds/linux/blob/v6.1/net/ipv4/tcp.c#L1100-L1130>
nested!(fexit, FExitContext, send_page_fexit, send_page_fexit_nested, SendPage, |ctx: &FExitContext| take(
    ctx.arg(0),
    ctx.arg::<u64>(5) as i32,
    ctx.arg::<u64>(4) as i32
));

#[kprobe]
pub(crate) fn send_page_kprobe(ctx: ProbeContext) -> u32 {
    enter(Function::SendPage, [ctx.at(0), ctx.at(4), 0, 0]);
    0
}

#[kretprobe]
pub(crate) fn send_page_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some([sk, flags, ..]) = leave(Function::SendPage) {
        take(sk as *const u8, ctx.ret::<u64>() as i32, flags as i32);
    }
    0
}

/// The flags of a `struct msghdr`.
#[inline(always)]
fn flags(message: usize) -> i32 {
    peek::<u32>(message, offset!(message_flags)) as i32
}

#[inline(always)]
fn take(sk: *const u8, result: i32, flags: i32) {
    let sk = Common(sk);
    let past = learn_owner(sk);
    if result > 0 {
        note_sent(past, sk);
    } else if failed(result)
        && let Some(tcp) = sk.tcp()
    {
        send_failure!(tcp, past, result, flags, SendLength, Kind::SendLength);
    }
}
