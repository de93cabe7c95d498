//! `sock:sock_send_length(struct sock *sk, int ret, int flags)`
//!
//! What every send path returns, in process context; io_uring and splice included.
//! <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L716-L740>

use super::length::{failed, learn_owner, note_sent, send_failure};
use crate::sock::Common;
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::record::{Kind, send_length::SendLength};

#[btf_tracepoint(function = "sock_send_length")]
pub(crate) fn send_length(ctx: BtfTracePointContext) -> i32 {
    let sk = Common(ctx.arg(0));
    let past = learn_owner(sk);
    let (result, flags) = (ctx.arg::<u32>(1) as i32, ctx.arg::<u32>(2) as i32);
    if result > 0 {
        note_sent(past, sk);
    } else if failed(result)
        && let Some(tcp) = sk.tcp()
    {
        send_failure!(tcp, past, result, flags, SendLength, Kind::SendLength);
    }
    0
}
