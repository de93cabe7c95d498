//! Asks the kernel for the state of one socket, without a walk over all of them.

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, Timer, nlas::Nla},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// More than an answer about one socket has.
const ANSWER: usize = 32 << 10;
/// `INET_DIAG_NOCOOKIE`: any socket with these addresses.
const ANY: [u8; 8] = [0xff; 8];

/// Asks about the TCP sockets of one network namespace by the kernel's `inet_diag`, also when the caller has left it.
#[derive(Debug)]
pub struct SockDiag {
    socket: Socket,
    sequence: u32,
    /// What was received and not read yet.
    unread: Vec<u8>,
}

/// The kernel was built without `CONFIG_INET_TCP_DIAG`, or its module `tcp_diag` cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this kernel has no tcp_diag")]
pub struct NoTcpDiag;

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The interface it is bound to (`SO_BINDTODEVICE`, or the scope of a link-local address); 0 for none. The kernel
    /// finds a bound socket by nothing else.
    pub interface: u32,
    /// `SO_COOKIE`; any socket with these addresses if `None`.
    pub cookie: Option<u64>,
}

/// What the kernel said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no such socket, or it is another one now.
    Gone,
    /// There is.
    State {
        /// The number of its state, `TCP_ESTABLISHED` is 1. What waits as a minisock tells the state it waits in:
        /// 5 (`FIN_WAIT2`) or 6 (`TIME_WAIT`), by `inet_twsk_diag_fill()`,
        /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_diag.c>.
        state: u8,
        /// Whether it is such a minisock, which has no owner any more.
        minisock: bool,
        /// Whether a process can hold it: orphans, and what waits for accept(), have no inode.
        held: bool,
        /// The cookie, for a query that had none.
        cookie: u64,
    },
}

/// A listening socket, and its accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Its cookie.
    pub cookie: u64,
    /// Where it listens.
    pub local: SocketAddr,
    /// Connections that wait for accept().
    pub depth: u32,
    /// How many the queue takes, less one.
    pub limit: u32,
    /// SYNs and handshakes it has dropped.
    pub drops: u32,
}

/// A socket on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Its cookie.
    pub cookie: u64,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The number of its state; what is parked as a minisock tells its sub-state.
    pub state: u8,
    /// Whether it is such a minisock.
    pub minisock: bool,
    /// Whether a process still holds it.
    pub held: bool,
    /// Retransmissions that were not answered, in a row.
    pub retransmits: u8,
    /// Bytes that were not acknowledged.
    pub unacked: u32,
}

impl Listening {
    /// `sk_drops` is told where it is asked for, by `inet_diag_msg_attrs_fill()`,
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_diag.c>.
    fn of(response: &InetResponse) -> Self {
        let drops = response.nlas.iter().find_map(|attribute| match attribute {
            Nla::MemInfo(memory) => Some(memory.drops),
            _ => None,
        });
        let (header, id) = (&response.header, &response.header.socket_id);
        Self {
            cookie: cookie_number(id.cookie),
            local: SocketAddr::new(id.source_address, id.source_port),
            depth: header.recv_queue,
            limit: header.send_queue,
            drops: drops.unwrap_or(0),
        }
    }

    /// Whether it takes no more.
    pub fn full(&self) -> bool {
        self.depth > self.limit
    }
}

impl SockDiag {
    /// Opens it in the namespace of the calling thread.
    ///
    /// # Errors
    /// When that fails; [`NoTcpDiag`] where every socket would seem gone.
    pub fn open() -> Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a sock_diag socket")?;
        // The kernel answers within the call that asks, so a wait would be for ever.
        socket.set_non_blocking(true).context("setting up a sock_diag socket")?;
        let mut diag = Self { socket, sequence: 0, unread: Vec::new() };
        diag.check(IPPROTO_TCP)?;
        Ok(diag)
    }

    /// The state of one socket. An IPv4-mapped address is IPv4, also of an IPv6 socket.
    ///
    /// # Errors
    /// When the addresses are of two families, or the kernel refuses.
    pub fn ask(&mut self, query: &Query) -> Result<Answer> {
        let (family, socket_id) = query.socket_id()?;
        let request = request(family, IPPROTO_TCP, StateFlags::all(), socket_id);
        Ok(match self.one(request)? {
            // inet_diag_find_one_icsk() falls back to a listener on the port where no cookie forbids it.
            Some(response) if response.header.state == TCP_LISTEN && query.remote.port() != 0 => Answer::Gone,
            Some(response) => Answer::State {
                state: response.header.state,
                held: response.header.inode != 0,
                minisock: response.header.timer == Some(Timer::TimeWait),
                cookie: cookie_number(response.header.socket_id.cookie),
            },
            None => Answer::Gone,
        })
    }

    /// All listeners. The kernel walks the table of all listeners of the host for it, and that twice.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listeners(&mut self) -> Result<Vec<Listening>> {
        self.dump(&StateFlags::LISTEN, Listening::of)
    }

    /// The listener with this cookie at this address, by one look-up. `None` where there is none; also where the kernel
    /// finds another one first, as it may of several that share an address, or none for want of its interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listener(&mut self, local: SocketAddr, cookie: u64) -> Result<Option<Listening>> {
        let nobody: IpAddr = match local.ip().to_canonical() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let remote = SocketAddr::new(nobody, 0);
        let (family, socket_id) = Query { local, remote, interface: 0, cookie: Some(cookie) }.socket_id()?;
        let mut request = request(family, IPPROTO_TCP, StateFlags::LISTEN, socket_id);
        request.extensions = ExtensionFlags::SKMEMINFO;
        let found = self.one(request)?.filter(|response| response.header.state == TCP_LISTEN);
        Ok(found.map(|response| Listening::of(&response)))
    }

    /// All sockets that are being closed. The kernel walks all sockets of the host for it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn leaving(&mut self) -> Result<Vec<Leaving>> {
        // A remainder in FIN_WAIT2 is asked for by its sub-state.
        let states =
            StateFlags::FIN_WAIT1 | StateFlags::FIN_WAIT2 | StateFlags::LAST_ACK | StateFlags::CLOSING;
        self.dump(&states, |response| {
            let (header, id) = (&response.header, &response.header.socket_id);
            Leaving {
                cookie: cookie_number(id.cookie),
                local: SocketAddr::new(id.source_address, id.source_port),
                remote: SocketAddr::new(id.destination_address, id.destination_port),
                state: header.state,
                minisock: header.timer == Some(Timer::TimeWait),
                held: header.inode != 0,
                retransmits: match header.timer {
                    Some(Timer::Retransmit(_, count)) => count,
                    _ => 0,
                },
                unacked: header.send_queue,
            }
        })
    }

    fn dump<T>(&mut self, states: &StateFlags, read: impl Fn(&InetResponse) -> T) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let mut request = request(family, IPPROTO_TCP, states.clone(), any);
            request.extensions = ExtensionFlags::SKMEMINFO;
            self.send(request, NLM_F_REQUEST | NLM_F_DUMP)?;
            while let Some(response) = self.next()? {
                all.push(read(&response));
            }
        }
        Ok(all)
    }

    /// An absent handler and an absent socket are the same errno, so the handler is asked for no sockets first: no
    /// state is wanted, and `inet_diag_dump_icsk()` then looks at none.
    fn check(&mut self, protocol: u8) -> Result<()> {
        let request = request(AF_INET, protocol, StateFlags::empty(), SocketId::new_v4());
        match self.exchange(request, NLM_F_REQUEST | NLM_F_DUMP)? {
            Reply::Done => Ok(()),
            Reply::Refused(Errno::ENOENT) => Err(NoTcpDiag.into()),
            Reply::Refused(errno) => Err(errno).context("asking whether there is sock_diag for TCP"),
            Reply::Socket(response) => bail!("sock_diag told of {:?} unasked", response.header.socket_id),
        }
    }

    /// The one socket that is asked for, if it is there and no other one now.
    fn one(&mut self, request: InetRequest) -> Result<Option<Box<InetResponse>>> {
        match self.exchange(request, NLM_F_REQUEST)? {
            Reply::Socket(response) => Ok(Some(response)),
            Reply::Refused(Errno::ENOENT | Errno::ESTALE) => Ok(None),
            Reply::Refused(errno) => Err(errno).context("asking for a socket by sock_diag"),
            Reply::Done => bail!("sock_diag answered nothing"),
        }
    }

    fn exchange(&mut self, request: InetRequest, flags: u16) -> Result<Reply> {
        self.send(request, flags)?;
        self.reply()
    }

    fn send(&mut self, request: InetRequest, flags: u16) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.unread.clear();
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).context("sending a sock_diag request")?;
        Ok(())
    }

    /// The next socket of a dump; none after the last one.
    fn next(&mut self) -> Result<Option<InetResponse>> {
        match self.reply()? {
            Reply::Socket(response) => Ok(Some(*response)),
            Reply::Done => Ok(None),
            Reply::Refused(errno) => Err(errno).context("listing sockets by sock_diag"),
        }
    }

    /// The next message of the answer to the last request.
    fn reply(&mut self) -> Result<Reply> {
        loop {
            if self.unread.is_empty() {
                self.unread.reserve(ANSWER);
                self.socket.recv(&mut self.unread, 0).context("receiving a sock_diag answer")?;
            }
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&self.unread);
            let answer = answer.context("reading a sock_diag answer")?;
            // Messages begin at multiples of four.
            let length = usize::try_from(answer.header.length).context("a sock_diag answer is too long")?;
            self.unread.drain(..length.next_multiple_of(4).clamp(4, self.unread.len()));
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    Ok(Reply::Socket(response))
                }
                NetlinkPayload::Error(error) => Ok(Reply::of_code(error.raw_code())),
                NetlinkPayload::Done(done) => Ok(Reply::of_code(done.code)),
                other => bail!("sock_diag answered {other:?}"),
            };
        }
    }
}

/// A message of an answer.
enum Reply {
    Socket(Box<InetResponse>),
    Refused(Errno),
    Done,
}

impl Reply {
    /// 0, or an errno with a minus.
    fn of_code(code: i32) -> Self {
        if code == 0 { Self::Done } else { Self::Refused(Errno::from_raw(code.saturating_neg())) }
    }
}

impl Query {
    fn socket_id(&self) -> Result<(u8, SocketId)> {
        let (source_address, destination_address) =
            (self.local.ip().to_canonical(), self.remote.ip().to_canonical());
        let family = match (source_address, destination_address) {
            (IpAddr::V4(_), IpAddr::V4(_)) => AF_INET,
            (IpAddr::V6(_), IpAddr::V6(_)) => AF_INET6,
            _ => bail!("{} and {} are of two families", self.local, self.remote),
        };
        let id = SocketId {
            source_port: self.local.port(),
            destination_port: self.remote.port(),
            source_address,
            destination_address,
            interface_id: self.interface,
            cookie: self.cookie.map_or(ANY, cookie_bytes),
        };
        Ok((family, id))
    }
}

/// Two words, the lower one first: `sock_diag_save_cookie()`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/sock_diag.c>.
fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let swapped = if cfg!(target_endian = "big") { cookie.rotate_left(32) } else { cookie };
    swapped.to_ne_bytes()
}

fn cookie_number(bytes: [u8; 8]) -> u64 {
    let swapped = u64::from_ne_bytes(bytes);
    if cfg!(target_endian = "big") { swapped.rotate_left(32) } else { swapped }
}

fn request(family: u8, protocol: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest { family, protocol, extensions: ExtensionFlags::empty(), states, socket_id }
}

#[cfg(test)]
mod tests;
