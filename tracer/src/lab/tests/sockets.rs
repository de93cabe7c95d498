//! What is done to a single socket from outside, and what is known of it.

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use tracer_common::State;

use super::{skipped, world};
use crate::lab::actor::{Actor, Domain, Fd, SocketOption, errno_of};
use crate::lab::path::{Family, Medium, Path, Side};
use crate::lab::world::World;

const SOON: Duration = Duration::from_secs(4);

/// A client on A and a server on B with a connection over the wire.
struct Pair {
    client: Actor,
    near: Fd,
    from: SocketAddr,
    server: Actor,
    far: Fd,
    service: SocketAddr,
}

fn pair(world: &World, family: Family) -> Pair {
    let address = Path::new(Medium::Wire, family).address(Side::B, 0);
    let mut server = world.actor(Side::B, "server").expect("a server");
    let mut client = world.actor(Side::A, "client").expect("a client");
    let listener = server.socket(Domain::of(address)).expect("socket");
    server.bind(listener, address).expect("bind");
    server.listen(listener, 2).expect("listen");
    let service = server.local_address(listener).expect("getsockname");
    let near = client.socket(Domain::of(address)).expect("socket");
    client.connect(near, service).expect("connect");
    let (far, from) = server.accept(listener).expect("accept");
    Pair { client, near, from, server, far, service }
}

#[test]
fn a_connection_is_killed_and_its_listener_is_not() {
    if skipped("a_connection_is_killed_and_its_listener_is_not") {
        return;
    }
    let world = world();
    for family in [Family::V4, Family::V6, Family::Mapped] {
        let Pair { mut client, near, from, mut server, far, service } = pair(&world, family);
        let host = world.namespace(Side::B);
        host.destroy(service, from).expect("the connection is killed");
        assert_eq!(errno_of(server.recv(far, 1)).expect("an errno"), Errno::ECONNABORTED, "{family:?}");
        assert_eq!(errno_of(client.recv(near, 1)).expect("an errno"), Errno::ECONNRESET, "{family:?}");
        let error = host.destroy(service, from).expect_err("it is gone");
        assert!(format!("{error:#}").contains("no such connection"), "{error:#}");
        let again = client.socket(Domain::of(service)).expect("socket");
        client.connect(again, service).expect("the listener has been spared");
    }
}

#[test]
fn a_forgotten_connection_is_told_to_nobody() {
    if skipped("a_forgotten_connection_is_told_to_nobody") {
        return;
    }
    let world = world();
    let Pair { mut client, near, from, mut server, far, service } = pair(&world, Family::V4);
    assert_eq!(server.send(far, 5).expect("send"), 5);
    world.namespace(Side::B).wait_acknowledged(service, from, SOON).expect("an acknowledgement");
    server.set(far, SocketOption::Repair(true)).expect("TCP_REPAIR");
    server.close(far).expect("close");
    assert_eq!(world.namespace(Side::B).socket_state(service, from).expect("sock_diag"), None);
    assert_eq!(client.recv(near, 10).expect("recv"), 5);
    let state = world.namespace(Side::A).socket_state(from, service).expect("sock_diag");
    assert_eq!(state, Some(State::Established));
}
