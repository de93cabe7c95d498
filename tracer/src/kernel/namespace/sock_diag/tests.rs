//! The kernel at hand asked about sockets of this test's own.

use super::super::{Namespace, enter, sockets, tests::with_diag};
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

fn query(socket: &TcpStream) -> Query {
    Query {
        local: socket.local_addr().expect("bound"),
        remote: socket.peer_addr().expect("connected"),
        interface: 0,
        cookie: Some(SockRef::from(socket).cookie().expect("a cookie")),
    }
}

fn answer(query: &Query, state: u8, minisock: bool) -> Answer {
    Answer::State { state, minisock, held: !minisock, cookie: query.cookie.expect("asked with its cookie") }
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
