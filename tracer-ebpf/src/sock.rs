//! Reads of `struct sock` and what embeds it; all such reads are here.

use crate::{
    kernel::{load, number, offset, setting},
    task,
};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_jiffies64, bpf_skc_to_tcp_sock};
use core::ptr::addr_of_mut;
use tracer_common::{
    State,
    layout::ABSENT,
    record::socket::{
        DEAD, DONE, EXITING, FAST_OPEN, IN_CGROUP, KEEPALIVE, KERNEL_THREAD, LINGER, LINGER_ZERO,
        MAPPED_HIGH, MAPPED_LOW, MPTCP, NO_SOCKET, OWNED, Socket, Tuple,
    },
};

/// `AF_INET` of the user-space interface.
const AF_INET: u16 = 2;

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
        // SAFETY: the helper takes any pointer to sock_common and answers NULL for what is no TCP socket.
        let tcp: *const u8 = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast();
        (!tcp.is_null()).then_some(Tcp(tcp))
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

    /// The cookie, generated when it has none.
    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        let known = self.known_cookie();
        if known != 0 {
            return known; // the helper costs more than the load
        }
        // SAFETY: takes any pointer to sock_common.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// The cookie without generating one: 0 when nothing has asked for it yet.
    #[inline(always)]
    pub(crate) fn known_cookie(self) -> u64 {
        load(self.0, offset!(cookie))
    }

    /// The address of the cgroup a full socket was made in, or its listener was; 0 when unknown.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> usize {
        load(self.0, offset!(sock_cgroup))
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        load(load::<usize>(self.0, offset!(net)) as *const u8, offset!(net_inum))
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
        has(load(self.0, offset!(flags)), number!(sock_dead))
    }

    /// Whether the peer's FIN has arrived.
    #[inline(always)]
    pub(crate) fn done(self) -> bool {
        self.common().done()
    }

    /// The local port in host order; 0 when none is chosen.
    ///
    /// `skc_num` is 0 again once `inet_put_port()` ran, `inet_sport` is kept: at the change to CLOSE only the
    /// latter is good. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_hashtables.c#L211-L245>
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(sport)))
    }

    /// The remote port in host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(dport)))
    }

    /// Writes both ends.
    #[inline(always)]
    pub(crate) fn tuple(self, to: *mut Tuple) {
        self.common().tuple(self.local_port(), to);
    }

    /// Writes everything but the tuple and the cookie, which the caller has.
    #[inline(always)]
    pub(crate) fn fill(self, to: *mut Socket) {
        macro_rules! copy {
            ($($field:ident <- $offset:ident),+ $(,)?) => {
                // SAFETY: `to` is a record that the caller reserved or keeps on its stack.
                $(unsafe { addr_of_mut!((*to).$field).write(load(self.0, offset!($offset))) };)+
            };
        }
        copy!(
            bytes_received <- bytes_received,
            bytes_acked <- bytes_acked,
            rcv_nxt <- rcv_nxt,
            copied_seq <- copied_seq,
            snd_nxt <- snd_nxt,
            snd_una <- snd_una,
            write_seq <- write_seq,
            snd_wnd <- snd_wnd,
            err <- err,
            err_soft <- err_soft,
            ack_backlog <- ack_backlog,
            max_ack_backlog <- max_ack_backlog,
            total_retrans <- total_retrans,
            srtt <- srtt,
            linger2 <- linger2,
            user_timeout <- user_timeout,
            uid <- uid,
            state <- state,
            shutdown <- shutdown,
            retransmits <- retransmits,
            probes <- probes_out,
        );
        let net = load::<usize>(self.0, offset!(net)) as *const u8;
        let task = task::Current::get();
        // SAFETY: as above.
        unsafe {
            addr_of_mut!((*to).fin_timeout).write(load(net, offset!(net_fin_timeout)));
            addr_of_mut!((*to).silence).write(if self.err() == 0 { 0 } else { self.silence() });
            addr_of_mut!((*to).exit_code).write(task.exit_code());
            addr_of_mut!((*to).flags).write(self.flags(task));
        }
    }

    /// Jiffies since the peer acknowledged anything.
    #[inline(always)]
    pub(crate) fn silence(self) -> u32 {
        // SAFETY: has no arguments.
        let now = unsafe { bpf_jiffies64() } as u32;
        let last: u32 = load(self.0, offset!(rcv_tstamp));
        if last == 0 { 0 } else { now.wrapping_sub(last) }
    }

    #[inline(always)]
    fn flags(self, task: task::Current) -> u32 {
        let kernel: u64 = load(self.0, offset!(flags));
        let linger = has(kernel, number!(sock_linger));
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.owned(), OWNED)
            | bit(has(kernel, number!(sock_dead)), DEAD)
            | bit(has(kernel, number!(sock_done)), DONE)
            | bit(has(kernel, number!(sock_keepopen)), KEEPALIVE)
            | bit(linger, LINGER)
            | bit(linger && load::<u64>(self.0, offset!(lingertime)) == 0, LINGER_ZERO)
            | bit(load::<usize>(self.0, offset!(socket)) == 0, NO_SOCKET)
            | bit(load::<usize>(self.0, offset!(fastopen_rsk)) != 0, FAST_OPEN)
            | bit(self.mptcp(), MPTCP)
            | bit(setting!(cgroup_count) != 0, IN_CGROUP) // what is not passes no filter
            | bit(task.exiting(), EXITING)
            | bit(task.kernel_thread(), KERNEL_THREAD)
    }

    #[inline(always)]
    fn mptcp(self) -> bool {
        has(load::<u8>(self.0, offset!(is_mptcp)).into(), number!(mptcp_bit))
    }
}

/// A record's socket for a hook that has none, or only a remainder: all zero but what is known.
#[inline(always)]
pub(crate) fn fill_none(to: *mut Socket) {
    // SAFETY: `to` is a record that the caller reserved.
    unsafe { to.write(NONE) }
}

const NONE: Socket = Socket {
    cookie: 0,
    tuple: Tuple { local: [0; 2], remote: [0; 2], local_port: 0, remote_port: 0, netns: 0 },
    bytes_received: 0,
    bytes_acked: 0,
    rcv_nxt: 0,
    copied_seq: 0,
    snd_nxt: 0,
    snd_una: 0,
    write_seq: 0,
    snd_wnd: 0,
    err: 0,
    err_soft: 0,
    ack_backlog: 0,
    max_ack_backlog: 0,
    total_retrans: 0,
    srtt: 0,
    linger2: 0,
    fin_timeout: 0,
    user_timeout: 0,
    silence: 0,
    exit_code: 0,
    uid: 0,
    flags: 0,
    state: 0,
    shutdown: 0,
    retransmits: 0,
    probes: 0,
};

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
