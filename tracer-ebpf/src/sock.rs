//! Reads of `struct sock` and what embeds it; all such reads are here.

mod fill;
mod ports;
mod untyped;

pub(crate) use fill::fill_none;
pub(crate) use untyped::peek_tuple;

use crate::{
    beside,
    kernel::{load, number, offset, peek},
};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_jiffies64, bpf_skc_to_tcp_sock};
use tracer_common::{
    State::{self, NewSynRecv, TimeWait},
    layout::ABSENT,
    record::socket::{MAPPED_HIGH, MAPPED_LOW, SHUTDOWN_MASK, Tuple},
};

/// What of the user-space interface a TCP socket is made with.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/socket.h#L190-L210>
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/net.h#L64-L72>
const SOCK_STREAM: u16 = 1;

/// A `struct sock` of any kind, perhaps only its common part.
#[derive(Clone, Copy)]
pub(crate) struct Common(pub(crate) *const u8);

/// A full TCP socket (`struct tcp_sock`), its own lock not necessarily held.
#[derive(Clone, Copy)]
pub(crate) struct Tcp(*const u8);

impl Common {
    /// The TCP socket this is, if it is a full one and plain TCP (not the MPTCP parent).
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Tcp> {
        if number!(probed) != 0 {
            return self.is_tcp().then_some(Tcp(self.0));
        }
        // SAFETY: the helper takes any pointer to sock_common and answers NULL for what is no TCP socket.
        let tcp: *const u8 = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast();
        (!tcp.is_null()).then_some(Tcp(tcp))
    }

    /// Whether this is a full TCP socket, as `bpf_skc_to_tcp_sock()` decides it.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/core/filter.c#L11537-L11550>
    #[inline(always)]
    fn is_tcp(self) -> bool {
        let (family, state): (u16, u8) = (load(self.0, offset!(family)), self.state());
        (family == AF_INET || family == AF_INET6)
            && !is(state, TimeWait)
            && !is(state, NewSynRecv)
            && load::<u16>(self.0, offset!(kind)) == SOCK_STREAM
            && load::<u16>(self.0, offset!(protocol)) == IPPROTO_TCP
    }

    /// The state's number.
    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        load(self.0, offset!(state))
    }

    /// The pending error of a full socket.
    #[inline(always)]
    pub(crate) fn err(self) -> i32 {
        load(self.0, offset!(err))
    }

    /// Whether a full socket's peer has sent its FIN.
    #[inline(always)]
    pub(crate) fn done(self) -> bool {
        has(load(self.0, offset!(flags)), number!(sock_done))
    }

    /// Whether no process holds a full socket any more.
    #[inline(always)]
    pub(crate) fn dead(self) -> bool {
        has(load(self.0, offset!(flags)), number!(sock_dead))
    }

    /// The cookie, generated when it has none.
    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        if beside::by_address() {
            return beside::identity(self);
        }
        let known = load(self.0, offset!(cookie));
        if known != 0 {
            return known; // the helper costs more than the load
        }
        // SAFETY: takes any pointer to sock_common.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// The cookie without generating one: 0 when nothing has asked for it yet.
    #[inline(always)]
    pub(crate) fn known_cookie(self) -> u64 {
        if beside::by_address() { beside::known_identity(self) } else { load(self.0, offset!(cookie)) }
    }

    /// Likewise, of a socket that the verifier takes for a mere number.
    #[inline(always)]
    pub(crate) fn noted_cookie(self) -> u64 {
        if !beside::by_address() {
            peek(self.0 as usize, offset!(cookie))
        } else if beside::was_destroyed(self) {
            0
        } else {
            beside::known_identity(self)
        }
    }

    /// The network namespace, a `struct net`.
    #[inline(always)]
    pub(crate) fn net(self) -> *const u8 {
        load::<usize>(self.0, offset!(net)) as *const u8
    }

    /// The address of the cgroup a full socket was made in, or its listener was; 0 when unknown.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> usize {
        load(self.0, offset!(sock_cgroup))
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        load(self.net(), offset!(net_inum))
    }

    /// Whether `SO_LINGER` is on at a full socket.
    #[inline(always)]
    pub(crate) fn lingers(self) -> bool {
        has(load(self.0, offset!(flags)), number!(sock_linger))
    }

    /// Writes both addresses, IPv4 as mapped, and all but the local port.
    #[inline(always)]
    pub(crate) fn tuple(self, local_port: u16, to: *mut Tuple) {
        let family: u16 = load(self.0, offset!(family));
        let (local, remote) = if family == AF_INET {
            (mapped(load(self.0, offset!(saddr))), mapped(load(self.0, offset!(daddr))))
        } else {
            (
                [load(self.0, offset!(v6_saddr)), load(self.0, offset!(v6_saddr) + 8)],
                [load(self.0, offset!(v6_daddr)), load(self.0, offset!(v6_daddr) + 8)],
            )
        };
        let tuple = Tuple {
            local,
            remote,
            local_port,
            remote_port: u16::from_be(load(self.0, offset!(dport))),
            netns: self.netns(),
        };
        // SAFETY: the caller passes a record it reserved or keeps on its stack.
        unsafe { to.write(tuple) }
    }
}

impl Tcp {
    /// The part common to all sockets.
    #[inline(always)]
    pub(crate) fn common(self) -> Common {
        Common(self.0)
    }

    /// The pending error.
    #[inline(always)]
    pub(crate) fn err(self) -> i32 {
        self.common().err()
    }

    /// The error that a timeout would give.
    #[inline(always)]
    pub(crate) fn soft_err(self) -> i32 {
        load(self.0, offset!(err_soft))
    }

    /// Whether close() by the running process aborts the connection though everything was read.
    #[inline(always)]
    pub(crate) fn lingers_not(self) -> bool {
        self.lingers_zero() && self.owned() && self.shut() && !self.dead() && self.unread() == 0
    }

    /// The timer that is to send again, 0 for none.
    #[inline(always)]
    pub(crate) fn pending_timer(self) -> u8 {
        load(self.0, offset!(pending))
    }

    /// `TCP_LINGER2` in jiffies.
    #[inline(always)]
    pub(crate) fn linger2(self) -> i32 {
        load(self.0, offset!(linger2))
    }

    /// Whether both directions are closed, as after close().
    #[inline(always)]
    pub(crate) fn shut(self) -> bool {
        load::<u8>(self.0, offset!(shutdown)) == SHUTDOWN_MASK
    }

    /// Bytes received and not read; a FIN takes one number that is never read.
    #[inline(always)]
    pub(crate) fn unread(self) -> u32 {
        let (next, read): (u32, u32) = (load(self.0, offset!(rcv_nxt)), load(self.0, offset!(copied_seq)));
        next.wrapping_sub(read).saturating_sub(self.done().into())
    }

    /// Whether data waits only because the peer has closed its window.
    #[inline(always)]
    pub(crate) fn stalled(self) -> bool {
        let (next, unacked): (u32, u32) = (load(self.0, offset!(snd_nxt)), load(self.0, offset!(snd_una)));
        let written: u32 = load(self.0, offset!(write_seq));
        load::<u32>(self.0, offset!(snd_wnd)) == 0 && next == unacked && written.wrapping_sub(next) as i32 > 0
    }

    /// Whether nothing is on its way to the peer, and no timer would notice its end.
    #[inline(always)]
    pub(crate) fn unwatched(self) -> bool {
        let (unacked, written): (u32, u32) =
            (load(self.0, offset!(snd_una)), load(self.0, offset!(write_seq)));
        !has(load(self.0, offset!(flags)), number!(sock_keepopen)) && unacked == written
    }

    /// Whether the current task owns the socket lock, and so acts on this socket.
    #[inline(always)]
    pub(crate) fn owned(self) -> bool {
        load::<u32>(self.0, offset!(lock_owned)) != 0
    }

    /// Whether no process holds the socket any more.
    #[inline(always)]
    pub(crate) fn dead(self) -> bool {
        self.common().dead()
    }

    /// Whether the peer's FIN has arrived.
    #[inline(always)]
    pub(crate) fn done(self) -> bool {
        self.common().done()
    }

    /// Writes both ends.
    #[inline(always)]
    pub(crate) fn tuple(self, to: *mut Tuple) {
        self.common().tuple(self.local_port(), to);
    }

    /// Jiffies since the peer acknowledged anything.
    #[inline(always)]
    pub(crate) fn silence(self) -> u32 {
        // SAFETY: has no arguments.
        let now = unsafe { bpf_jiffies64() } as u32;
        let last: u32 = load(self.0, offset!(rcv_tstamp));
        if last == 0 { 0 } else { now.wrapping_sub(last) }
    }

    /// For how many jiffies close() waits for the peer; 0 when it does not.
    #[inline(always)]
    pub(crate) fn linger(self) -> u32 {
        if self.common().lingers() { load::<u64>(self.0, offset!(lingertime)) as u32 } else { 0 }
    }

    /// Whether `SO_LINGER` is on with a time of 0.
    #[inline(always)]
    fn lingers_zero(self) -> bool {
        self.common().lingers() && load::<u64>(self.0, offset!(lingertime)) == 0
    }

    /// Whether a close of this open connection is an abort that sends a RST: of data that was not read, by `SO_LINGER`
    /// of 0 s, by connect(AF_UNSPEC), or because its listener was closed. `TCP_REPAIR` closes without a word.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c#L3064-L3140>
    #[inline(always)]
    pub(crate) fn aborts(self) -> bool {
        self.lingers_zero() || self.unread() > 0 || load::<u8>(self.0, offset!(shutdown)) == 0
    }

    /// Segments with data sent, and those sent again among them because one was lost: not those that the peer has
    /// got twice.
    #[inline(always)]
    pub(crate) fn segments_sent(self) -> (u32, u32) {
        let (again, twice): (u32, u32) =
            (load(self.0, offset!(total_retrans)), load(self.0, offset!(duplicates)));
        (load(self.0, offset!(data_segs_out)), again.saturating_sub(twice))
    }

    /// Segments received.
    #[inline(always)]
    pub(crate) fn segments_received(self) -> u32 {
        load(self.0, offset!(segs_in))
    }

    /// The largest payload of a segment.
    #[inline(always)]
    pub(crate) fn mss(self) -> u32 {
        load(self.0, offset!(mss))
    }

    /// Segments that the peer has got, acknowledged or out of order.
    #[inline(always)]
    pub(crate) fn delivered(self) -> u32 {
        load(self.0, offset!(delivered))
    }

    /// Segments that the peer has out of order.
    #[inline(always)]
    pub(crate) fn sacked(self) -> u32 {
        load(self.0, offset!(sacked))
    }

    /// A listener: connections that wait for accept(), the limit of that, and SYNs that were answered.
    #[inline(always)]
    pub(crate) fn queues(self) -> (u32, u32, u32) {
        let limit: u32 = load(self.0, offset!(max_ack_backlog));
        (load(self.0, offset!(ack_backlog)), limit, load(self.0, offset!(half_open)))
    }

    /// Unanswered retransmissions in a row.
    #[inline(always)]
    pub(crate) fn retransmits(self) -> u8 {
        load(self.0, offset!(retransmits))
    }

    /// Bytes of ours that the peer has acknowledged, its answer to the SYN included.
    #[inline(always)]
    pub(crate) fn bytes_acked(self) -> u64 {
        load(self.0, offset!(bytes_acked))
    }

    /// Time to live of the packet that opened an accepted connection.
    ///
    /// `tcp_v4_syn_recv_sock()` and `tcp_v6_syn_recv_sock()` keep it, unless the program sets `IP_MULTICAST_TTL`.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L1723-L1760>
    #[inline(always)]
    pub(crate) fn opening_ttl(self) -> u8 {
        if load::<u16>(self.0, offset!(family)) == AF_INET {
            return load(self.0, offset!(mc_ttl));
        }
        let own = load::<usize>(self.0, offset!(pinet6));
        if own == 0 { 0 } else { peek(own, offset!(mcast_hops)) }
    }

    #[inline(always)]
    fn mptcp(self) -> bool {
        has(load::<u8>(self.0, offset!(is_mptcp)).into(), number!(mptcp_bit))
    }
}

#[inline(always)]
fn has(word: u64, bit: u32) -> bool {
    bit != ABSENT && word & (1 << (bit & 63)) != 0
}

/// An IPv4 address in network order, as the two words of its mapped form.
#[inline(always)]
pub(crate) fn mapped(address: u32) -> [u64; 2] {
    [MAPPED_HIGH, u64::from(MAPPED_LOW) | u64::from(address) << 32]
}

/// Compares a state's number with a name.
#[inline(always)]
pub(crate) const fn is(number: u8, state: State) -> bool {
    number == state.number()
}
