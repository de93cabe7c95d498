//! Packet filter and address translation of a namespace, through `NETLINK_NETFILTER`.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use super::namespace::Namespace;

/// The only table of the lab, by family.
const TABLE: &str = "lab";
const CHAIN: &str = "output";

// https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const SUBSYSTEM: u16 = 10;
const SUBSYSTEM_SHIFT: u32 = 8;

// https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const REGISTER: u32 = 1;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const DNAT: u32 = 1;
const REJECT_TCP_RESET: u32 = 1;

// https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter.h
const FAMILY_ANY: u8 = 0;
const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const HOOK_OUTPUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_DNAT: i32 = -100;

const TCP: u8 = 6;
/// Where an IPv4 header has the destination address …
const IPV4_DESTINATION: u32 = 16;
/// … and an IPv6 header.
const IPV6_DESTINATION: u32 = 24;
/// Where a TCP header has the destination port.
const PORT_OFFSET: u32 = 2;
/// Where it has the flags.
const FLAGS_OFFSET: u32 = 13;

/// What a rule is to reject, by the flags of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Segments {
    /// Data: a RST is not rejected, so that the other end does not outlive its process.
    Data = 0x18,
    /// The first segment of a connection.
    Syn = 0x02,
}

/// From now on nothing leaves the namespace: the policy of its `OUTPUT` chain is drop.
///
/// # Errors
/// When the kernel has no nftables, or refuses.
pub(super) fn drop_output(namespace: &Namespace) -> Result<()> {
    let chain = Chain { family: FAMILY_INET, kind: "filter", priority: PRIORITY_FILTER, policy: DROP };
    commit(namespace, &[table(FAMILY_INET), chain.message()]).context("dropping all output")
}

/// From now on such segments that TCP sends from this namespace to `address` are rejected with a RST, as if it came
/// from there.
///
/// # Errors
/// When the kernel has no nftables or cannot reject, or refuses.
pub(super) fn reject(namespace: &Namespace, address: SocketAddr, segments: Segments) -> Result<()> {
    let chain = Chain { family: FAMILY_INET, kind: "filter", priority: PRIORITY_FILTER, policy: ACCEPT };
    // Others use the same port at other addresses.
    let (family, offset, host) = match address.ip().to_canonical() {
        IpAddr::V4(host) => (FAMILY_IPV4, IPV4_DESTINATION, host.octets().to_vec()),
        IpAddr::V6(host) => (FAMILY_IPV6, IPV6_DESTINATION, host.octets().to_vec()),
    };
    let expressions = Attributes::default()
        .expression("meta", &Attributes::default().number(1, REGISTER).number(2, META_NFPROTO))
        .expression("cmp", &equals(&[family]))
        .expression("meta", &Attributes::default().number(1, REGISTER).number(2, META_L4PROTO))
        .expression("cmp", &equals(&[TCP]))
        .expression("payload", &field(NETWORK_HEADER, offset, &host))
        .expression("cmp", &equals(&host))
        .expression("payload", &field(TRANSPORT_HEADER, PORT_OFFSET, &address.port().to_be_bytes()))
        .expression("cmp", &equals(&address.port().to_be_bytes()))
        .expression("payload", &field(TRANSPORT_HEADER, FLAGS_OFFSET, &[segments as u8]))
        .expression("cmp", &equals(&[segments as u8]))
        .expression("reject", &Attributes::default().number(1, REJECT_TCP_RESET));
    let rule = Attributes::default().text(1, TABLE).text(2, CHAIN).nest(4, &expressions);
    let rule = Message::of(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, FAMILY_INET, rule);
    commit(namespace, &[table(FAMILY_INET), chain.message(), rule])
        .with_context(|| format!("rejecting {address}"))
}

/// From now on TCP from this namespace to `asked` goes to the same port of `host` (DNAT).
///
/// # Errors
/// When the two are of two families, the kernel has no NAT, or refuses.
pub(super) fn translate(namespace: &Namespace, asked: SocketAddr, host: IpAddr) -> Result<()> {
    let (family, offset, asked_host, host) = match (asked.ip().to_canonical(), host.to_canonical()) {
        (IpAddr::V4(asked), IpAddr::V4(host)) => {
            (FAMILY_IPV4, IPV4_DESTINATION, asked.octets().to_vec(), host.octets().to_vec())
        }
        (IpAddr::V6(asked), IpAddr::V6(host)) => {
            (FAMILY_IPV6, IPV6_DESTINATION, asked.octets().to_vec(), host.octets().to_vec())
        }
        (asked, host) => bail!("{asked} and {host} are of two families"),
    };
    let chain = Chain { family, kind: "nat", priority: PRIORITY_DNAT, policy: ACCEPT };
    let expressions = Attributes::default()
        .expression("meta", &Attributes::default().number(1, REGISTER).number(2, META_L4PROTO))
        .expression("cmp", &equals(&[TCP]))
        .expression("payload", &field(NETWORK_HEADER, offset, &asked_host))
        .expression("cmp", &equals(&asked_host))
        .expression("payload", &field(TRANSPORT_HEADER, PORT_OFFSET, &asked.port().to_be_bytes()))
        .expression("cmp", &equals(&asked.port().to_be_bytes()))
        .expression(
            "immediate",
            &Attributes::default().number(1, REGISTER).nest(2, &Attributes::default().bytes(1, &host)),
        )
        .expression(
            "nat",
            &Attributes::default().number(1, DNAT).number(2, family.into()).number(3, REGISTER),
        );
    let rule = Attributes::default().text(1, TABLE).text(2, CHAIN).nest(4, &expressions);
    let rule = Message::of(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, family, rule);
    // The table and the chain are the same for all, and making them again changes nothing.
    commit(namespace, &[table(family), chain.message(), rule]).with_context(|| format!("translating {asked}"))
}

/// What the register holds has to be `value`.
fn equals(value: &[u8]) -> Attributes {
    let data = Attributes::default().bytes(1, value);
    Attributes::default().number(1, REGISTER).number(2, EQUAL).nest(3, &data)
}

/// Loads as many bytes of a header as `value` has.
fn field(header: u32, offset: u32, value: &[u8]) -> Attributes {
    // No field is longer than the 16 bytes of an address.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    Attributes::default().number(1, REGISTER).number(2, header).number(3, offset).number(4, length)
}

fn table(family: u8) -> Message {
    Message::of(NEW_TABLE, NLM_F_CREATE, family, Attributes::default().text(1, TABLE))
}

/// A chain that sees what the namespace sends.
struct Chain {
    family: u8,
    kind: &'static str,
    priority: i32,
    policy: u32,
}

impl Chain {
    fn message(&self) -> Message {
        let hook = Attributes::default().number(1, HOOK_OUTPUT).bytes(2, &self.priority.to_be_bytes());
        let chain = Attributes::default()
            .text(1, TABLE)
            .text(3, CHAIN)
            .nest(4, &hook)
            .number(5, self.policy)
            .text(7, self.kind);
        Message::of(NEW_CHAIN, NLM_F_CREATE, self.family, chain)
    }
}

/// Does all of it or nothing.
fn commit(namespace: &Namespace, messages: &[Message]) -> Result<()> {
    let socket = namespace.enter(|| {
        let mut socket = Socket::new(NETLINK_NETFILTER).context("opening nfnetlink")?;
        socket.bind_auto().context("binding nfnetlink")?;
        socket.connect(&NetlinkAddress::new(0, 0)).context("connecting nfnetlink to the kernel")?;
        Ok(socket)
    })?;
    let mut batch = Message::edge(BATCH_BEGIN).bytes();
    for message in messages {
        batch.extend(message.bytes());
    }
    batch.extend(Message::edge(BATCH_END).bytes());
    socket.send(&batch, 0).context("asking nfnetlink")?;
    for _ in messages {
        let (answer, _) = socket.recv_from_full().context("reading the answer of nfnetlink")?;
        match NetlinkMessage::<Message>::deserialize(&answer)
            .context("decoding the answer of nfnetlink")?
            .payload
        {
            NetlinkPayload::Error(error) if error.code.is_none() => {}
            NetlinkPayload::Error(error) => return Err(error.to_io()).context("nftables refused"),
            other => bail!("nfnetlink answered {other:?}"),
        }
    }
    Ok(())
}

/// A message of nfnetlink: its type, flags, and what follows the netlink header.
#[derive(Clone, Debug)]
struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    fn of(kind: u16, flags: u16, family: u8, attributes: Attributes) -> Self {
        let mut body = vec![family, 0, 0, 0];
        body.extend(attributes.0);
        Self { kind: SUBSYSTEM << SUBSYSTEM_SHIFT | kind, flags: flags | NLM_F_ACK, body }
    }

    /// The begin or the end of a batch.
    fn edge(kind: u16) -> Self {
        let [high, low] = SUBSYSTEM.to_be_bytes();
        Self { kind, flags: 0, body: vec![FAMILY_ANY, 0, high, low] }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | self.flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self.clone()));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { kind: header.message_type, flags: header.flags, body: payload.to_vec() })
    }
}

/// Netlink attributes one after the other, each with its number in the enumeration of its place.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(mut self, number: u16, value: &[u8]) -> Self {
        let attribute = DefaultNla::new(number, value.to_vec());
        let start = self.0.len();
        self.0.resize(start + attribute.buffer_len(), 0);
        attribute.emit(&mut self.0[start..]);
        self
    }

    fn text(self, number: u16, value: &str) -> Self {
        self.bytes(number, &[value.as_bytes(), &[0]].concat())
    }

    fn number(self, number: u16, value: u32) -> Self {
        self.bytes(number, &value.to_be_bytes())
    }

    fn nest(self, number: u16, inner: &Self) -> Self {
        self.bytes(number | NLA_F_NESTED, &inner.0)
    }

    /// One more expression of a rule.
    fn expression(self, name: &str, data: &Self) -> Self {
        self.nest(1, &Self::default().text(1, name).nest(2, data))
    }
}
