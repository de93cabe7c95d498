//! Exact questions about single sockets, through `NETLINK_SOCK_DIAG` of one namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, InetResponseHeader, SocketId, StateFlags, Timer,
};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::errno::Errno;
use tracer_common::State;

/// `INET_DIAG_NOCOOKIE`: whichever socket has the tuple.
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// What the kernel tells of a connection's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Its TCP state.
    pub(super) state: State,
    /// Bytes that were written and are not acknowledged, sent or not.
    pub(super) unacknowledged: u32,
    /// The timer that probes a closed window runs: nothing is in flight and something waits.
    pub(super) probing: bool,
    /// How often in a row it has sent the same again in vain.
    pub(super) retransmits: u8,
    cookie: [u8; 8],
}

/// What the kernel tells of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Connections that wait to be accepted.
    pub(super) waiting: u32,
    /// The queue is full when more than this wait.
    pub(super) limit: u32,
    /// Segments that it has turned away.
    pub(super) drops: u32,
}

/// One `sock_diag` socket; it answers for the namespace it was opened in.
#[derive(Debug)]
pub(super) struct SocketDiag {
    socket: Mutex<Socket>,
}

impl SocketDiag {
    /// Opens the socket in the namespace of the calling thread.
    pub(super) fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening sock_diag")?;
        socket.bind_auto().context("binding sock_diag")?;
        socket.connect(&NetlinkAddress::new(0, 0)).context("connecting sock_diag to the kernel")?;
        Ok(Self { socket: Mutex::new(socket) })
    }

    /// What the kernel tells of the socket with this tuple, `None` when there is none.
    pub(super) fn find(&self, local: SocketAddr, remote: SocketAddr) -> Result<Option<Report>> {
        let Some(InetResponse { header: answer, .. }) = self.one(request(local, remote, ANY_COOKIE))? else {
            return Ok(None);
        };
        let number = answer.state;
        let state = State::from_number(number).with_context(|| format!("sock_diag told state {number}"))?;
        let report = Report {
            state,
            unacknowledged: answer.send_queue,
            retransmits: match answer.timer {
                Some(Timer::Retransmit(_, times)) => times,
                _ => 0,
            },
            probing: matches!(answer.timer, Some(Timer::Probe(_))),
            cookie: answer.socket_id.cookie,
        };
        // Without a connection inet_diag_find_one_icsk() falls back to a listener on the local port.
        // https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_diag.c
        Ok((state != State::Listen).then_some(report))
    }

    /// What the kernel tells of the listener at this address, `None` when there is none.
    pub(super) fn listener(&self, local: SocketAddr) -> Result<Option<Backlog>> {
        let anyone = if local.ip().to_canonical().is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let mut question = request(local, anyone, ANY_COOKIE);
        question.extensions = ExtensionFlags::SKMEMINFO;
        let Some(answer) = self.one(question)? else { return Ok(None) };
        let drops = answer.nlas.iter().find_map(|nla| match nla {
            Nla::MemInfo(memory) => Some(memory.drops),
            _ => None,
        });
        let InetResponseHeader { recv_queue, send_queue, .. } = answer.header;
        let drops = drops.context("sock_diag told nothing of drops")?;
        Ok(Some(Backlog { waiting: recv_queue, limit: send_queue, drops }))
    }

    /// Kills the connection with this tuple as an administrator does (`ss --kill`): `tcp_abort()`.
    ///
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_diag.c>
    pub(super) fn destroy(&self, local: SocketAddr, remote: SocketAddr) -> Result<()> {
        let report = self.find(local, remote)?.context("there is no such connection to kill")?;
        // By its cookie: the tuple alone would reach a listener if the connection ended meanwhile.
        let request = SockDiagMessage::InetRequest(request(local, remote, report.cookie));
        match self.ask(SockDiagDestroy::new(request), NLM_F_ACK)? {
            NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
            NetlinkPayload::Error(error) => Err(error.to_io()).context("sock_diag kills no connection"),
            other => bail!("sock_diag answered {other:?}"),
        }
    }

    /// The one socket that is asked for, `None` when there is none.
    fn one(&self, request: InetRequest) -> Result<Option<InetResponse>> {
        match self.ask(SockDiagMessage::InetRequest(request), 0)? {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => Ok(Some(*response)),
            NetlinkPayload::Error(error) if error.raw_code() == -(Errno::ENOENT as i32) => Ok(None),
            NetlinkPayload::Error(error) => Err(error.to_io()).context("sock_diag refused"),
            other => bail!("sock_diag answered {other:?}"),
        }
    }

    /// Sends one request; its answer is one message.
    fn ask<T>(&self, request: T, flags: u16) -> Result<NetlinkPayload<SockDiagMessage>>
    where
        T: NetlinkSerializable + Into<NetlinkPayload<T>>,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);

        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.send(&bytes, 0).context("asking sock_diag")?;
        let (answer, _) = socket.recv_from_full().context("reading the answer of sock_diag")?;
        let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer)
            .context("decoding the answer of sock_diag")?;
        Ok(answer.payload)
    }
}

/// The connection with this tuple and cookie, in whatever state.
fn request(local: SocketAddr, remote: SocketAddr, cookie: [u8; 8]) -> InetRequest {
    let (source, destination) = (local.ip().to_canonical(), remote.ip().to_canonical());
    InetRequest {
        family: if matches!(source, IpAddr::V4(_)) { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: source,
            destination_address: destination,
            interface_id: 0,
            cookie,
        },
    }
}
