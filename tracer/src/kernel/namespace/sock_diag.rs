//! Asks the kernel for the state of one socket, without a walk over all of them.

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags, Timer},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use nix::errno::Errno;
use std::net::{IpAddr, SocketAddr};

/// More than an answer about one socket has.
const ANSWER: usize = 32 << 10;
/// `INET_DIAG_NOCOOKIE`: any socket with these addresses.
const ANY: [u8; 8] = [0xff; 8];

/// Asks about the TCP sockets of one network namespace by the kernel's `inet_diag`, also when the caller has left it.
#[derive(Debug)]
pub struct SockDiag {
    socket: Socket,
    sequence: u32,
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

impl SockDiag {
    /// Opens it in the namespace of the calling thread.
    ///
    /// # Errors
    /// When that fails; [`NoTcpDiag`] where every socket would seem gone.
    pub fn open() -> Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a sock_diag socket")?;
        // The kernel answers within the call that asks, so a wait would be for ever.
        socket.set_non_blocking(true).context("setting up a sock_diag socket")?;
        let mut diag = Self { socket, sequence: 0 };
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
        match self.exchange(request, NLM_F_REQUEST)? {
            // inet_diag_find_one_icsk() falls back to a listener on the port where no cookie forbids it.
            Reply::Socket(header) if header.state == TCP_LISTEN && query.remote.port() != 0 => {
                Ok(Answer::Gone)
            }
            Reply::Socket(header) => Ok(Answer::State {
                state: header.state,
                held: header.inode != 0,
                minisock: header.timer == Some(Timer::TimeWait),
                cookie: cookie_number(header.socket_id.cookie),
            }),
            Reply::Refused(Errno::ENOENT | Errno::ESTALE) => Ok(Answer::Gone),
            Reply::Refused(errno) => Err(errno).context("asking for a socket by sock_diag"),
            Reply::Done => bail!("sock_diag answered nothing"),
        }
    }

    /// An absent handler and an absent socket are the same errno, so the handler is asked for no sockets first: no
    /// state is wanted, and `inet_diag_dump_icsk()` then looks at none.
    fn check(&mut self, protocol: u8) -> Result<()> {
        let request = request(AF_INET, protocol, StateFlags::empty(), SocketId::new_v4());
        match self.exchange(request, NLM_F_REQUEST | NLM_F_DUMP)? {
            Reply::Done => Ok(()),
            Reply::Refused(Errno::ENOENT) => Err(NoTcpDiag.into()),
            Reply::Refused(errno) => Err(errno).context("asking whether there is sock_diag for TCP"),
            Reply::Socket(header) => bail!("sock_diag told of {:?} unasked", header.socket_id),
        }
    }

    fn exchange(&mut self, request: InetRequest, flags: u16) -> Result<Reply> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).context("sending a sock_diag request")?;
        loop {
            let mut answer = Vec::with_capacity(ANSWER);
            self.socket.recv(&mut answer, 0).context("receiving a sock_diag answer")?;
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer);
            let answer = answer.context("reading a sock_diag answer")?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    Ok(Reply::Socket(response.header))
                }
                NetlinkPayload::Error(error) => Ok(Reply::of_code(error.raw_code())),
                NetlinkPayload::Done(done) => Ok(Reply::of_code(done.code)),
                other => bail!("sock_diag answered {other:?}"),
            };
        }
    }
}

/// The first message of an answer.
enum Reply {
    Socket(InetResponseHeader),
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
mod tests {
    use super::super::{Namespace, enter, sockets, tests::in_private_network};
    use super::{Answer, NoTcpDiag, Query, SockDiag};
    use crate::event::{Cookie, Presence};
    use socket2::{Domain, SockRef, Type};
    use std::{
        io::Read,
        net::{SocketAddr, TcpListener, TcpStream},
        thread,
        time::{Duration, Instant},
    };
    use tracer_common::{
        State,
        record::socket::{Tuple, words},
    };

    const ESTABLISHED: u8 = 1;
    const FIN_WAIT2: u8 = 5;
    const TIME_WAIT: u8 = 6;
    const CLOSE_WAIT: u8 = 8;

    /// In a network namespace of its own, with its `sock_diag`; says why not where there is none.
    fn with_diag(test: &'static str, work: impl FnOnce(SockDiag) + Send + 'static) {
        in_private_network(test, move || match SockDiag::open() {
            Ok(diag) => work(diag),
            Err(error) if error.is::<NoTcpDiag>() => println!("SKIP {test}: {error}"),
            Err(error) => panic!("{error:#}"),
        });
    }

    fn query(socket: &TcpStream) -> Query {
        Query {
            local: socket.local_addr().expect("bound"),
            remote: socket.peer_addr().expect("connected"),
            interface: 0,
            cookie: Some(SockRef::from(socket).cookie().expect("a cookie")),
        }
    }

    fn answer(query: &Query, state: u8, minisock: bool) -> Answer {
        Answer::State {
            state,
            minisock,
            held: !minisock,
            cookie: query.cookie.expect("asked with its cookie"),
        }
    }

    /// Asks until this is the answer: an ACK may come 40 ms late.
    fn until(diag: &mut SockDiag, query: &Query, expected: Answer) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let got = diag.ask(query).expect("asked");
            if got == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{got:?} is not {expected:?}");
            thread::yield_now();
        }
    }

    /// The server closes first, the client later.
    fn life_of_a_connection(diag: &mut SockDiag, listen: &str, connect: &str) {
        let listener = TcpListener::bind(listen).expect("listening");
        let port = listener.local_addr().expect("bound").port();
        let mut client = TcpStream::connect(format!("{connect}:{port}")).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let (at_server, at_client) = (query(&server), query(&client));
        until(diag, &at_server, answer(&at_server, ESTABLISHED, false));
        until(diag, &at_client, answer(&at_client, ESTABLISHED, false));

        drop(server);
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        until(diag, &at_server, answer(&at_server, FIN_WAIT2, true));
        until(diag, &at_client, answer(&at_client, CLOSE_WAIT, false));

        let another = Query { cookie: at_server.cookie.map(|cookie| cookie + 1_000_000), ..at_server };
        assert_eq!(diag.ask(&another).expect("asked"), Answer::Gone);
        let whichever = Query { cookie: None, ..at_server };
        assert_eq!(diag.ask(&whichever).expect("asked"), answer(&at_server, FIN_WAIT2, true));
        let elsewhere = Query { remote: SocketAddr::new(at_server.remote.ip(), 1), ..whichever };
        assert_eq!(diag.ask(&elsewhere).expect("asked"), Answer::Gone, "the listener is no answer");

        drop(client);
        until(diag, &at_server, answer(&at_server, TIME_WAIT, true));
        until(diag, &at_client, Answer::Gone);
    }

    #[test]
    fn a_connection_is_followed_to_its_end() {
        with_diag("a_connection_is_followed_to_its_end", |mut diag| {
            life_of_a_connection(&mut diag, "127.0.0.1:0", "127.0.0.1");
            life_of_a_connection(&mut diag, "[::1]:0", "[::1]");
            life_of_a_connection(&mut diag, "[::]:0", "127.0.0.1");
        });
    }

    #[test]
    fn another_namespace_is_asked_from_outside() {
        with_diag("another_namespace_is_asked_from_outside", |mut diag| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
            let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            let query = query(&client);
            assert_eq!(diag.ask(&query).expect("asked"), answer(&query, ESTABLISHED, false));

            let namespace = Namespace::own().expect("this namespace");
            let tuple = Tuple {
                local: words(query.local.ip()),
                remote: words(query.remote.ip()),
                local_port: query.local.port(),
                remote_port: query.remote.port(),
                netns: namespace.inum,
            };
            let asked = [(Cookie(query.cookie.expect("known")), tuple), (Cookie(1), tuple)];
            let in_another = || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("another namespace");
                (enter(&namespace, || sockets(&asked)).expect("entered"), sockets(&asked))
            };
            let (there, here) = thread::scope(|scope| scope.spawn(in_another).join()).expect("no panic");
            let [(known, _), (other, _)] = asked;
            assert_eq!(there, [(known, Presence::In(State::Established)), (other, Presence::Gone)]);
            assert_eq!(here, [(known, Presence::Gone), (other, Presence::Gone)]);
            // It stays in the namespace where it was opened.
            let elsewhere = || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("another namespace");
                diag.ask(&query).expect("asked")
            };
            let found = thread::scope(|scope| scope.spawn(elsewhere).join()).expect("no panic");
            assert_eq!(found, answer(&query, ESTABLISHED, false));
        });
    }

    #[test]
    fn a_bound_socket_is_found_by_its_interface_alone() {
        with_diag("a_bound_socket_is_found_by_its_interface_alone", |mut diag| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
            let bound = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            bound.bind_device(Some(b"lo")).expect("bound to the loopback");
            bound.connect(&listener.local_addr().expect("bound").into()).expect("connected");
            let bound = bound.into();
            let query = query(&bound);
            assert_eq!(diag.ask(&query).expect("asked"), Answer::Gone);
            let with_interface = Query { interface: 1, ..query };
            assert_eq!(diag.ask(&with_interface).expect("asked"), answer(&query, ESTABLISHED, false));
        });
    }

    #[test]
    fn a_protocol_without_a_handler_is_an_error() {
        with_diag("a_protocol_without_a_handler_is_an_error", |mut diag| {
            let error = diag.check(253).expect_err("a number for experiments has no handler");
            assert!(error.is::<NoTcpDiag>(), "{error:#}");
            assert!(diag.check(super::IPPROTO_TCP).is_ok(), "and leaves the socket as it was");
        });
    }

    #[test]
    fn ends_of_two_families_are_refused() {
        let [local, remote] = ["127.0.0.1:1", "[::1]:1"].map(|end| end.parse().expect("an address"));
        assert!(Query { local, remote, interface: 0, cookie: None }.socket_id().is_err());
        let mapped = "[::ffff:127.0.0.1]:1".parse().expect("an address");
        assert!(Query { local, remote: mapped, interface: 0, cookie: None }.socket_id().is_ok());
    }
}
