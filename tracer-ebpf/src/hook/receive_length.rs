//! `sock:sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3; or the end of
//! `tcp_recvmsg(struct sock *sk, struct msghdr *msg, size_t len[, int nonblock], int flags, int *addr_len)`
//!
//! What every receive path returns, in process context.
//! <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L1042-L1066>

use super::length::{failed, learn_owner, note_received, send_failure};
use crate::{
    attach::{Arguments as _, Function, enter, leave, nested},
    emit,
    kernel::number,
    sock::Common,
};
use aya_ebpf::{
    macros::{btf_tracepoint, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FExitContext, ProbeContext, RetProbeContext},
};
use tracer_common::record::{
    Kind,
    receive_length::ReceiveLength,
    socket::{OUTGOING, Past, WROTE},
};

nested!(
    btf_tracepoint(function = "sock_recv_length"),
    BtfTracePointContext,
    receive_length,
    receive_length_nested,
    Receive,
    |ctx: &BtfTracePointContext| take(ctx.arg(0), ctx.arg::<u32>(1) as i32, ctx.arg::<u32>(2) as i32),
    first_of_process
);
nested!(
    fexit,
    FExitContext,
    receive_length_fexit,
    receive_length_fexit_nested,
    Receive,
    |ctx: &FExitContext| {
        let flags = ctx.at(number!(receive_flags_argument)) as i32;
        take(ctx.arg(0), ctx.at(number!(receive_returns)) as i32, flags);
    }
);

#[kprobe]
pub(crate) fn receive_length_kprobe(ctx: ProbeContext) -> u32 {
    enter(Function::Receive, [ctx.at(0), ctx.at(number!(receive_flags_argument)), 0, 0]);
    0
}

#[kretprobe]
pub(crate) fn receive_length_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some([sk, flags, ..]) = leave(Function::Receive) {
        take(sk as *const u8, ctx.ret::<u64>() as i32, flags as i32);
    }
    0
}

#[inline(always)]
fn take(sk: *const u8, result: i32, flags: i32) {
    let sk = Common(sk);
    let past = learn_owner(sk);
    if result > 0 {
        note_received(past);
        return;
    }
    let told =
        if result == 0 { !past.is_null() && sk.done() && end_of_file(sk, past) } else { failed(result) };
    if told && let Some(tcp) = sk.tcp() {
        send_failure!(tcp, past, result, flags, ReceiveLength, Kind::ReceiveLength);
    }
}

/// Notes the first end of file; whether it came instead of an answer, to the end that called connect().
#[inline(always)]
fn end_of_file(sk: Common, past: *mut Past) -> bool {
    // A read of no bytes returns 0 as well.
    if sk.tcp().is_none_or(|tcp| tcp.unread() > 0) {
        return false;
    }
    // SAFETY: a live value, checked by the caller.
    unsafe {
        let first = (*past).eof_read_ns == 0;
        if first {
            (*past).eof_read_ns = emit::now();
        }
        first && (*past).flags & (WROTE | OUTGOING) == WROTE | OUTGOING && (*past).fin_sent_ns == 0
    }
}
