//! `sock:sock_recv_length(struct sock *sk, int ret, int flags)`
//!
//! What every receive path returns, in process context.
//! <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L1042-L1066>

use super::length::{failed, learn_owner, note_received, send_failure};
use crate::{emit, sock::Common};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::record::{
    Kind,
    receive_length::ReceiveLength,
    socket::{OUTGOING, Past, WROTE},
};

#[btf_tracepoint(function = "sock_recv_length")]
pub(crate) fn receive_length(ctx: BtfTracePointContext) -> i32 {
    let sk = Common(ctx.arg(0));
    let past = learn_owner(sk);
    let (result, flags) = (ctx.arg::<u32>(1) as i32, ctx.arg::<u32>(2) as i32);
    if result > 0 {
        note_received(past);
        return 0;
    }
    let told =
        if result == 0 { !past.is_null() && sk.done() && end_of_file(sk, past) } else { failed(result) };
    if told && let Some(tcp) = sk.tcp() {
        send_failure!(tcp, past, result, flags, ReceiveLength, Kind::ReceiveLength);
    }
    0
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
