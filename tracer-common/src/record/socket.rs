//! What is read of a socket at every hook.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Both ends of a connection as one end sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tuple {
    /// Local address, 16 bytes in network order; IPv4 is `::ffff:a.b.c.d`.
    pub local: [u64; 2],
    /// Remote address, likewise.
    pub remote: [u64; 2],
    /// Local port in host order; 0 while the kernel has not chosen one.
    pub local_port: u16,
    /// Remote port in host order.
    pub remote_port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
}

impl Tuple {
    /// The connection as its other end sees it.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            local_port: self.remote_port,
            remote_port: self.local_port,
            netns: self.netns,
        }
    }

    /// The local address and port; a mapped address as the IPv4 address it is.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        SocketAddr::new(address(self.local), self.local_port)
    }

    /// The remote address and port, likewise.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        SocketAddr::new(address(self.remote), self.remote_port)
    }
}

/// A bit of a socket's cookie: the programs have numbered it themselves, since the kernel gives them none. Its own are
/// counted up from 1. <https://github.com/torvalds/linux/blob/v6.12/include/linux/cookie.h>
pub const OWN_NUMBER: u64 = 1 << 62;

/// The two words of an address; IPv4 becomes mapped.
#[must_use]
pub fn words(address: IpAddr) -> [u64; 2] {
    let bytes = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let (high, low) = bytes.split_at(8);
    let word = |half: &[u8]| half.try_into().map_or(0, u64::from_ne_bytes);
    [word(high), word(low)]
}

fn address(words: [u64; 2]) -> IpAddr {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&words[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&words[1].to_ne_bytes());
    IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
}

/// How an IPv4-mapped address begins: its first eight bytes as they lie in memory …
pub const MAPPED_HIGH: u64 = 0;
/// … and the next four, before the IPv4 address itself.
pub const MAPPED_LOW: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// [`Socket::flags`]: the socket lock is owned, so the header's process is the actor, not a bystander.
/// `lock_sock()` owns it in process context; softirq code leaves an owned socket's state alone (it queues to
/// the backlog). <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L3616-L3627>
pub const OWNED: u32 = 1 << 0;
/// [`Socket::flags`]: no process holds the socket any more (`SOCK_DEAD`): nobody is told of an error.
pub const DEAD: u32 = 1 << 1;
/// [`Socket::flags`]: the peer's FIN has arrived (`SOCK_DONE`).
pub const DONE: u32 = 1 << 2;
/// [`Socket::flags`]: `SO_KEEPALIVE` is on.
pub const KEEPALIVE: u32 = 1 << 3;
/// [`Socket::flags`]: `SO_LINGER` is on.
pub const LINGER: u32 = 1 << 4;
/// [`Socket::flags`]: `SO_LINGER` is on with a time of 0: close() aborts.
pub const LINGER_ZERO: u32 = 1 << 5;
/// [`Socket::flags`]: no `struct socket` yet or any more; with [`DEAD`] clear it waits for accept().
pub const NO_SOCKET: u32 = 1 << 6;
/// [`Socket::flags`]: a Fast Open child whose handshake is not done.
pub const FAST_OPEN: u32 = 1 << 7;
/// [`Socket::flags`]: a subflow of an MPTCP connection.
pub const MPTCP: u32 = 1 << 8;
/// [`Socket::flags`]: the running task is exiting (`PF_EXITING`), its exit code is final.
pub const EXITING: u32 = 1 << 9;
/// [`Socket::flags`]: the running task is a kernel thread.
pub const KERNEL_THREAD: u32 = 1 << 10;

/// [`Socket::flags`]: it was made in a cgroup that is asked for, or below; set only where some are.
pub const IN_CGROUP: u32 = 1 << 11;

/// [`Socket::shutdown`]: the process wants no more data.
/// <https://github.com/torvalds/linux/blob/v6.12/include/net/sock.h#L1537-L1539>
pub const RCV_SHUTDOWN: u8 = 1;
/// [`Socket::shutdown`]: the process sends no more.
pub const SEND_SHUTDOWN: u8 = 2;
/// [`Socket::shutdown`]: both, as after close().
pub const SHUTDOWN_MASK: u8 = RCV_SHUTDOWN | SEND_SHUTDOWN;

/// What the hook read of the socket. All zero where the hook had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// The socket's cookie; 0 when the hook had no socket.
    pub cookie: u64,
    /// The connection.
    pub tuple: Tuple,
    /// Bytes received in order, over the connection's life.
    pub bytes_received: u64,
    /// Bytes of ours the peer acknowledged.
    pub bytes_acked: u64,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// First sequence number the process has not read.
    pub copied_seq: u32,
    /// Next sequence number to be sent.
    pub snd_nxt: u32,
    /// First sequence number the peer has not acknowledged.
    pub snd_una: u32,
    /// First sequence number the process has not written.
    pub write_seq: u32,
    /// The peer's receive window in bytes.
    pub snd_wnd: u32,
    /// `sk_err`: the errno the next call gets; 0 for none.
    pub err: i32,
    /// `sk_err_soft`: the errno a timeout would get; 0 for none.
    pub err_soft: i32,
    /// Connections in the accept queue (listener, and its copy in a newborn child).
    pub ack_backlog: u32,
    /// The accept queue's limit.
    pub max_ack_backlog: u32,
    /// Segments retransmitted over the connection's life.
    pub total_retrans: u32,
    /// Smoothed round-trip time in units of 1/8 µs.
    pub srtt: u32,
    /// `TCP_LINGER2` in jiffies; 0 for the namespace's setting, negative for "no FIN_WAIT2".
    pub linger2: i32,
    /// The namespace's `tcp_fin_timeout` in jiffies.
    pub fin_timeout: u32,
    /// `TCP_USER_TIMEOUT` in milliseconds; 0 for none.
    pub user_timeout: u32,
    /// Jiffies since the peer acknowledged anything; read where an error is pending, and by looks, else 0.
    pub silence: u32,
    /// Time of `SO_LINGER` in jiffies, where [`LINGER`] is set, else 0.
    pub linger: u32,
    /// Segments with data sent over the connection's life, those sent again included.
    pub data_segs_out: u32,
    /// The running task's `exit_code` where [`EXITING`] is set; as [`super::exit::Exit::exit_code`].
    pub exit_code: i32,
    /// User id the socket belongs to, as the initial user namespace counts.
    pub uid: u32,
    /// The bits above.
    pub flags: u32,
    /// A [`crate::State`] number.
    pub state: u8,
    /// `sk_shutdown`: 1 no more receives, 2 no more sends.
    pub shutdown: u8,
    /// `icsk_retransmits`: unanswered retransmissions in a row.
    pub retransmits: u8,
    /// `icsk_probes_out`: unanswered keepalive or zero-window probes.
    pub probes: u8,
}

/// [`Past::source`]: nobody is known.
pub const OWNER_UNKNOWN: u8 = 0;
/// [`Past::source`]: the caller of connect().
pub const OWNER_CONNECT: u8 = 1;
/// [`Past::source`]: the caller of listen().
pub const OWNER_LISTEN: u8 = 2;
/// [`Past::source`]: the caller of a send or receive.
pub const OWNER_IO: u8 = 3;
/// [`Past::source`]: the one who closed or shut down.
pub const OWNER_CLOSE: u8 = 4;
/// [`Past::source`]: a holder of a descriptor, found by the scan.
pub const OWNER_SCAN: u8 = 5;

/// [`Past::flags`]: the socket is older than the tracer, so the times in [`Past`] are not complete.
pub const PREEXISTING: u8 = 1 << 0;
/// [`Past::flags`]: the one who closed was exiting: its `exit_code` counts.
pub const CLOSED_BY_EXIT: u8 = 1 << 1;
/// [`Past::flags`]: this end called connect().
pub const OUTGOING: u8 = 1 << 2;
/// [`Past::flags`]: this end came out of a listener.
pub const INCOMING: u8 = 1 << 3;

/// [`Past::flags`]: the end of the connection was handed to the ring.
pub const TOLD: u8 = 1 << 5;

/// [`Past::flags`]: that the connection is silent was told.
pub const IDLE_TOLD: u8 = 1 << 7;

/// [`Past::flags`]: the process has sent since it last received, before the peer's FIN: an answer is due.
pub const WROTE: u8 = 1 << 6;

/// [`Past::marks`]: that much of it is sent again was told.
pub const LOSSY_TOLD: u8 = 1 << 0;
/// [`Past::marks`]: that only its full segments are lost was told.
pub const BLACKHOLE_TOLD: u8 = 1 << 1;
/// [`Past::marks`]: that its close is stuck was told.
pub const STUCK_TOLD: u8 = 1 << 2;
/// [`Past::marks`]: the peer's segments came from different distances: their time to live proves nothing.
pub const TTL_VARIES: u8 = 1 << 3;
/// [`Past::marks`]: it answered something by a RST while it connected.
pub const RESET_CONNECTING: u8 = 1 << 4;
/// [`Past::marks`]: a segment that was sent again has left this host, or nothing says that it has not.
pub const SENT_AGAIN: u8 = 1 << 5;

/// [`Past::flags`]: the owner is the followed process ([`crate::settings::Settings::follow`]) or below it.
pub const FOLLOWED: u8 = 1 << 4;

/// What is kept beside the socket, so that a healthy connection need not tell it.
///
/// Times are `CLOCK_BOOTTIME` in nanoseconds, 0 when it has not happened or was not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Past {
    /// connect(), or the end of an incoming handshake.
    pub born_ns: u64,
    /// The handshake was done.
    pub established_ns: u64,
    /// This end closed or shut down its sending side.
    pub fin_sent_ns: u64,
    /// The peer's FIN arrived.
    pub fin_received_ns: u64,
    /// A receive call returned 0: the process was told of the peer's FIN.
    pub eof_read_ns: u64,
    /// The owner's cgroup of version 2, by the inode number of its directory, when the owner was learnt; 0 when unknown.
    pub cgroup: u64,
    /// The newest owner (thread group); 0 when unknown.
    pub owner: u32,
    /// The owner's number in its own pid namespace; 0 when unknown.
    pub ns_pid: u32,
    /// The exit code where [`CLOSED_BY_EXIT`] is set.
    pub exit_code: i32,
    /// The owner's name when it was learnt.
    pub comm: [u8; 16],
    /// How the owner was learnt: one of `OWNER_*`.
    pub source: u8,
    /// The bits above.
    pub flags: u8,
    /// The errno with which the last retransmission failed to leave this host; 0 when it left.
    pub send_errno: u8,
    /// The soft error that was told last; 0 for none.
    pub soft_told: u8,
    /// Time to live (IPv6: hop limit) of the peer's segments; 0 when none was looked at.
    pub ttl: u8,
    /// The same of the last RST that came while the connection was ESTABLISHED; 0 when none did.
    pub reset_ttl: u8,
    /// [`LOSSY_TOLD`] and so on.
    pub marks: u8,
    /// Always zero.
    pub reserved: [u8; 5],
}

#[cfg(test)]
mod tests {
    use super::{MAPPED_HIGH, MAPPED_LOW, Tuple, words};

    #[test]
    fn addresses_survive_the_words_they_travel_in() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443"] {
            let address: core::net::SocketAddr = text.parse().expect("an address");
            let tuple = Tuple { local: words(address.ip()), local_port: address.port(), ..Tuple::default() };
            assert_eq!(tuple.local_address(), address);
            assert_eq!(tuple.swapped().remote_address(), address);
        }
    }

    #[test]
    fn ipv4_travels_mapped() {
        let words = words([192, 0, 2, 1].into());
        assert_eq!(words[0], MAPPED_HIGH);
        assert_eq!(words[1].to_ne_bytes()[..4], MAPPED_LOW.to_ne_bytes());
        assert_eq!(words[1].to_ne_bytes()[4..], [192, 0, 2, 1]);
    }
}
