//! Exact questions about single sockets, through `NETLINK_SOCK_DIAG` of one namespace.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::errno::Errno;
use tracer_common::State;

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

    /// The state of the socket with this tuple, `None` when there is none.
    pub(super) fn state(&self, local: SocketAddr, remote: SocketAddr) -> Result<Option<State>> {
        let (source, destination) = (local.ip().to_canonical(), remote.ip().to_canonical());
        let request = InetRequest {
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
                // INET_DIAG_NOCOOKIE: whichever socket has the tuple.
                cookie: [0xff; 8],
            },
        };
        let answer = self.ask(SockDiagMessage::InetRequest(request))?;
        // Without a connection inet_diag_find_one_icsk() falls back to a listener on the local port.
        // https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_diag.c
        Ok(answer.filter(|state| *state != State::Listen))
    }

    fn ask(&self, request: SockDiagMessage) -> Result<Option<State>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);

        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.send(&bytes, 0).context("asking sock_diag")?;
        let (answer, _) = socket.recv_from_full().context("reading the answer of sock_diag")?;
        let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer)
            .context("decoding the answer of sock_diag")?;
        match answer.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let number = response.header.state;
                State::from_number(number).map(Some).with_context(|| format!("sock_diag told state {number}"))
            }
            NetlinkPayload::Error(error) if error.raw_code() == -(Errno::ENOENT as i32) => Ok(None),
            NetlinkPayload::Error(error) => Err(error.to_io()).context("sock_diag refused"),
            other => bail!("sock_diag answered {other:?}"),
        }
    }
}
