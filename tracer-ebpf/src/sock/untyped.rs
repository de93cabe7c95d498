//! Reads of a socket that the verifier takes for a mere number.

use super::{AF_INET, AF_INET6, IPPROTO_TCP, mapped};
use crate::kernel::{offset, peek};
use tracer_common::record::socket::Tuple;

/// Writes both ends of a socket by its address, if it is one of TCP.
#[inline(always)]
pub(crate) fn peek_tuple(sk: usize, to: *mut Tuple) -> bool {
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
