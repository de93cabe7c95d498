//! What is TCP and a little else: Fast Open, MPTCP, and datagrams that call connect().

use crate::support::{Namespace, Watch, skipped};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::{ErrorKind, Read},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};
use tracer::lab::{
    actor::Program,
    path::{Family, Medium, Path, Side},
    router::Action,
    world::World,
};

/// Clients and servers use Fast Open, without a cookie, and every listener takes it.
/// <https://docs.kernel.org/networking/ip-sysctl.html>
const FAST_OPEN: (&str, &str) = ("net.ipv4.tcp_fastopen", "1543");
/// What the kernel does by itself takes microseconds.
const SOON: Duration = Duration::from_secs(4);

/// A stream socket: of plain TCP, or of MPTCP.
fn stream(protocol: Protocol) -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)).expect("a socket")
}

/// A listener on an address, and where it listens.
fn listen(protocol: Protocol, at: impl Into<SocketAddr>) -> (Socket, SocketAddr) {
    let listener = stream(protocol);
    listener.bind(&at.into().into()).expect("a port");
    listener.listen(5).expect("it listens");
    let address = listener.local_addr().expect("an address").as_socket().expect("of IP");
    (listener, address)
}

/// Sends data along with the SYN.
fn open_with(data: &[u8], to: SocketAddr) -> (Socket, std::io::Result<usize>) {
    let client = stream(Protocol::TCP);
    let sent = client.send_to_with_flags(data, &SockAddr::from(to), libc::MSG_FASTOPEN);
    (client, sent)
}

/// Connects and exchanges a request and its reply.
fn exchange(client: Socket, listener: &Socket, to: SocketAddr) -> (Socket, Socket) {
    client.connect(&to.into()).expect("it listens");
    let server = listener.accept().expect("it waits").0;
    client.send(b"request").expect("a request");
    receive(&server, 7);
    server.send(b"reply").expect("a reply");
    receive(&client, 5);
    (client, server)
}

/// Receives so many bytes; 0 is the end of the stream.
fn receive(from: &Socket, bytes: usize) {
    let got = from.recv(&mut [MaybeUninit::uninit(); 64]).expect("it comes");
    assert_eq!(got, bytes);
}

/// Waits until the other end's FIN or RST has come.
fn wait_end(of: &Socket) {
    let mut ready = [PollFd::new(of.as_fd(), PollFlags::from_bits_retain(libc::POLLRDHUP))];
    let limit = PollTimeout::try_from(SOON).expect("a limit");
    assert_eq!(poll(&mut ready, limit), Ok(1), "the other end is still there");
}

fn abort(socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(socket);
}

/// The patterns that were told, and nothing else.
fn ids(findings: &[Value]) -> Vec<&str> {
    findings.iter().filter_map(|finding| finding["pattern"].as_str()).collect()
}

/// Plays something in a namespace with Fast Open under a watch that shows everything; what was told.
fn told_of(namespace: &Namespace, play: impl FnOnce() + Send) -> Vec<Value> {
    let mut watch = Watch::start(namespace.inode(), &["--min-severity", "info"]);
    namespace.run(play);
    let (findings, stop) = watch.stop();
    assert_eq!(stop["malformed"], 0, "{stop}");
    findings
}

#[test]
fn fast_open_is_told_as_any_connection() {
    if skipped("fast_open_is_told_as_any_connection") {
        return;
    }
    let namespace = Namespace::new();
    namespace.set_sysctl(FAST_OPEN.0, FAST_OPEN.1);

    let healthy = told_of(&namespace, || {
        let (listener, address) = listen(Protocol::TCP, (Ipv4Addr::LOCALHOST, 0));
        for _ in 0..3 {
            let (client, sent) = open_with(b"request", address);
            assert_eq!(sent.expect("it leaves with the SYN"), 7);
            let server = listener.accept().expect("it waits").0;
            receive(&server, 7);
            server.send(b"reply").expect("a reply");
            receive(&client, 5);
            drop(client);
            receive(&server, 0);
        }
    });
    assert!(healthy.is_empty(), "{healthy:?}");

    let refused = told_of(&namespace, || {
        let bound = stream(Protocol::TCP);
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        let address = bound.local_addr().expect("an address").as_socket().expect("of IP");
        let error = open_with(b"request", address).1.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
    assert_eq!(ids(&refused), ["connection_refused"]);
    assert_eq!(refused[0]["errno"], "ECONNREFUSED");

    let queued = told_of(&namespace, || {
        let (listener, address) = listen(Protocol::TCP, (Ipv4Addr::LOCALHOST, 0));
        abort(open_with(b"request", address).0);
        let server = listener.accept().expect("it still waits").0;
        receive(&server, 7);
        let error = server.recv(&mut [MaybeUninit::uninit(); 64]).expect_err("it was reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    assert_eq!(ids(&queued), ["accept_queue_reset"]);
    assert_eq!(queued[0]["errno"], "ECONNRESET");
}

#[test]
fn a_fast_open_child_that_is_reset_in_its_handshake_was_in_no_queue() {
    if skipped("a_fast_open_child_that_is_reset_in_its_handshake_was_in_no_queue") {
        return;
    }
    let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let path = Path::new(Medium::Routed, Family::V4);
    for accepted in [false, true] {
        let world = World::with_router(program.clone()).expect("a world");
        for side in [Side::A, Side::B] {
            world.namespace(side).set_sysctl(FAST_OPEN.0, FAST_OPEN.1).expect("a sysctl");
        }
        // The end of the handshake does not come: only the SYN, and later the RST.
        let rule = |segment: &tracer::lab::packet::Segment| {
            let ends = segment.ack.is_some() && !segment.syn && !segment.rst;
            if ends { Action::Drop } else { Action::Pass }
        };
        world.router().expect("a router").set_rule(rule);
        let [a, b] = world.inodes();
        let mut watch = Watch::start(a, &["--netns", &b.to_string(), "--min-severity", "info"]);
        let on = |side: Side| world.namespace(side);
        let (listener, address) =
            on(Side::B).enter(|| Ok(listen(Protocol::TCP, path.address(Side::B, 0)))).expect("a listener");
        let (client, sent) = on(Side::A).enter(|| Ok(open_with(b"request", address))).expect("a client");
        assert_eq!(sent.expect("it leaves with the SYN"), 7);
        let from = client.local_addr().expect("an address").as_socket().expect("of IP");
        let state = on(Side::B).socket_state(address, from).expect("sock_diag");
        assert_eq!(state, Some(tracer_common::State::SynRecv));
        let server = accepted.then(|| listener.accept().expect("it can be had in SYN_RECV").0);
        if let Some(server) = &server {
            receive(server, 7);
        }
        abort(client);
        on(Side::B).wait_state(address, from, None, SOON).expect("it is reset");
        if let Some(server) = &server {
            let error = server.recv(&mut [MaybeUninit::uninit(); 64]).expect_err("it was reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let (findings, _) = watch.stop();
        assert_eq!(ids(&findings), ["linger_zero_abort"], "accepted: {accepted}, {findings:?}");
    }
}

#[test]
fn paths_of_mptcp_are_no_connections() {
    const NAME: &str = "paths_of_mptcp_are_no_connections";
    if skipped(NAME) {
        return;
    }
    if let Err(error) = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
        println!("SKIP {NAME}: this kernel has no MPTCP ({error})");
        return;
    }
    let namespace = Namespace::new();
    namespace.set_sysctl("net.mptcp.enabled", "1");
    let mptcp = || stream(Protocol::MPTCP);

    let healthy = told_of(&namespace, || {
        let (listener, address) = listen(Protocol::MPTCP, (Ipv4Addr::LOCALHOST, 0));
        let (client, server) = exchange(mptcp(), &listener, address);
        drop(client);
        receive(&server, 0);
        drop(server);
        // The server closes first; what the client writes then is taken, and no RST comes.
        let (client, server) = exchange(mptcp(), &listener, address);
        drop(server);
        wait_end(&client);
        receive(&client, 0);
        for _ in 0..2 {
            let taken = client.send_with_flags(b"late", libc::MSG_NOSIGNAL);
            assert_eq!(taken.expect("no EPIPE"), 4);
        }
    });
    assert!(healthy.is_empty(), "{healthy:?}");

    let aborted = told_of(&namespace, || {
        let (listener, address) = listen(Protocol::MPTCP, (Ipv4Addr::LOCALHOST, 0));
        let (client, server) = exchange(mptcp(), &listener, address);
        abort(server);
        wait_end(&client);
        let error = client.recv(&mut [MaybeUninit::uninit(); 64]).expect_err("it was reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let (client, server) = exchange(mptcp(), &listener, address);
        client.send(b"unread").expect("a request");
        drop(server);
        wait_end(&client);
        let waits = mptcp();
        waits.connect(&address.into()).expect("it listens");
        abort(waits);
    });
    assert!(aborted.is_empty(), "{aborted:?}");

    let plain = told_of(&namespace, || {
        let (listener, address) = listen(Protocol::MPTCP, (Ipv4Addr::LOCALHOST, 0));
        // A client without MPTCP is served as ever …
        let mut client = TcpStream::connect(address).expect("it listens");
        drop(listener.accept().expect("it waits").0);
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        // … and told of as ever.
        let waits = stream(Protocol::TCP);
        waits.connect(&address.into()).expect("it listens");
        abort(waits);
        drop(listener.accept().expect("it still waits"));
    });
    assert_eq!(ids(&plain), ["accept_queue_reset"], "{plain:?}");
    assert_eq!(plain[0]["process"]["pid"], std::process::id(), "{plain:?}");
}

#[test]
fn a_datagram_that_has_no_way_is_no_connection() {
    if skipped("a_datagram_that_has_no_way_is_no_connection") {
        return;
    }
    let namespace = Namespace::new();
    let findings = told_of(&namespace, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        // As resolvers do, to learn from which address they would send.
        let error = socket.connect((Ipv4Addr::new(203, 0, 113, 1), 53)).expect_err("there is no route");
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    });
    assert!(findings.is_empty(), "{findings:?}");
}
