//! `sock:sock_recv_length(struct sock *sk, int ret, int flags)`
//!
//! What every receive path returns, in process context.
//! <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L1042-L1066>

use super::length::{failed, learn_owner, send_failure};
use crate::{emit, sock::Common};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::record::{Kind, receive_length::ReceiveLength};

#[btf_tracepoint(function = "sock_recv_length")]
pub(crate) fn receive_length(ctx: BtfTracePointContext) -> i32 {
    let sk = Common(ctx.arg(0));
    let past = learn_owner(sk);
    let (result, flags) = (ctx.arg::<u32>(1) as i32, ctx.arg::<u32>(2) as i32);
    if result == 0 && !past.is_null() && sk.done() {
        // SAFETY: a live value, checked above.
        unsafe {
            if (*past).eof_read_ns == 0 {
                (*past).eof_read_ns = emit::now();
            }
        }
    } else if failed(result)
        && let Some(tcp) = sk.tcp()
    {
        send_failure!(tcp, past, result, flags, ReceiveLength, Kind::ReceiveLength);
    }
    0
}
