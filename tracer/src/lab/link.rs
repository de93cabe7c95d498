//! Links, addresses and routes inside a namespace, through `NETLINK_ROUTE`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State as Operstate,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::namespace::Namespace;

/// `RTNLGRP_LINK`: every change of a link is told to this group.
const GROUP_LINK: u32 = 1;

/// A socket that changes the links of one namespace.
#[derive(Debug)]
pub(super) struct Links {
    socket: Socket,
}

impl Links {
    /// Opens the socket inside `namespace`.
    pub(super) fn open(namespace: &Namespace) -> Result<Self> {
        namespace.enter(|| {
            let mut socket = Socket::new(NETLINK_ROUTE).context("opening rtnetlink")?;
            socket.bind_auto().context("binding rtnetlink")?;
            socket.connect(&NetlinkAddress::new(0, 0)).context("connecting rtnetlink to the kernel")?;
            Ok(Self { socket })
        })
    }

    /// Makes a veth pair: one end here, the other in `peer`, both called `name`.
    pub(super) fn add_veth(&self, name: &str, peer: &Namespace) -> Result<()> {
        let mut far = LinkMessage::default();
        far.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::NetNsFd(peer.handle().as_raw_fd())];
        let mut near = LinkMessage::default();
        near.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
            ]),
        ];
        self.ask(RouteNetlinkMessage::NewLink(near), NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("making the veth pair {name}"))?;
        Ok(())
    }

    /// The index of the link called `name`.
    pub(super) fn index(&self, name: &str) -> Result<u32> {
        Ok(self.link(name)?.header.index)
    }

    /// Brings a link up.
    pub(super) fn set_up(&self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(message), 0)
            .with_context(|| format!("bringing link {index} up"))?;
        Ok(())
    }

    /// Gives a link an address that can be used at once: IPv6 does not look for duplicates of it first.
    pub(super) fn add_address(&self, index: u32, address: IpAddr, prefix_len: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.prefix_len = prefix_len;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
            AddressAttribute::Flags(AddressFlags::Nodad),
        ];
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("adding the address {address}/{prefix_len}"))?;
        Ok(())
    }

    /// From now on the namespace refuses by itself to send to `address`, as a route of this kind says.
    ///
    /// Doing it again changes nothing.
    pub(super) fn refuse(&self, address: IpAddr, kind: RouteType) -> Result<()> {
        let mut message = RouteMessage::default();
        let (family, length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, Ipv4Addr::BITS),
            IpAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::BITS),
        };
        message.header.address_family = family;
        message.header.destination_prefix_length = u8::try_from(length)?;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = kind;
        message.attributes = vec![RouteAttribute::Destination(RouteAddress::from(address))];
        self.ask(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
            .with_context(|| format!("adding a route of kind {kind:?} to {address}"))?;
        Ok(())
    }

    /// Waits until the link called `name` carries packets.
    ///
    /// Up to then the kernel may discard what is sent over it: `linkwatch_do_dev()` gives it a queue.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/core/link_watch.c>
    pub(super) fn wait_running(&self, name: &str, limit: Duration, namespace: &Namespace) -> Result<()> {
        let news = Self::open(namespace)?.socket;
        news.add_membership(GROUP_LINK).context("subscribing to changes of links")?;
        let deadline = Instant::now() + limit;
        loop {
            // Asked after subscribing, so a change between the two is not missed.
            let running = self.link(name)?.attributes.contains(&LinkAttribute::OperState(Operstate::Up));
            if running {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::try_from(left)?).context("waiting for a change of links")? == 0 {
                bail!("link {name} does not carry packets after {limit:?}");
            }
            news.recv_from_full().context("reading a change of links")?;
        }
    }

    fn link(&self, name: &str) -> Result<LinkMessage> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        match self
            .ask(RouteNetlinkMessage::GetLink(message), 0)
            .with_context(|| format!("finding link {name}"))?
        {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            other => bail!("rtnetlink told {other:?} about link {name}"),
        }
    }

    /// Sends one request and reads up to its acknowledgement; the answer before that, if there was one.
    pub(super) fn ask(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).context("asking rtnetlink")?;

        let mut answer = None;
        loop {
            let (bytes, _) = self.socket.recv_from_full().context("reading the answer of rtnetlink")?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes)
                .context("decoding the answer of rtnetlink")?;
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => answer = Some(inner),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answer),
                NetlinkPayload::Error(error) => return Err(error.to_io()).context("rtnetlink refused"),
                other => bail!("rtnetlink answered {other:?}"),
            }
        }
    }
}
