//! The router: what it forges is believed by the kernel.

use std::time::Duration;

use nix::errno::Errno;
use tracer_common::State;

use super::{routed_world, skipped};
use crate::lab::actor::{Actor, Domain, Events, Fd, SocketOption, errno_of};
use crate::lab::path::{Family, Medium, Path, Side};
use crate::lab::router::{Action, Ends};
use crate::lab::world::World;

const SOON: Duration = Duration::from_secs(4);
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

struct Ready {
    client: Actor,
    near: Fd,
    server: Actor,
    listener: Fd,
    address: std::net::SocketAddr,
}

/// A client's socket and a server that listens, on the two sides of the router.
fn ready(world: &World, family: Family) -> Ready {
    let path = Path::new(Medium::Routed, family);
    let mut server = world.actor(Side::B, "server").expect("a server");
    let mut client = world.actor(Side::A, "client").expect("a client");
    let domain = Domain::of(path.address(Side::B, 0));
    let listener = server.socket(domain).expect("socket");
    server.bind(listener, path.address(Side::B, 0)).expect("bind");
    server.listen(listener, 1).expect("listen");
    let address = server.local_address(listener).expect("getsockname");
    let near = client.socket(domain).expect("socket");
    Ready { client, near, server, listener, address }
}

#[test]
fn a_refusal_on_the_way_is_believed() {
    if skipped("a_refusal_on_the_way_is_believed") {
        return;
    }
    let world = routed_world();
    world.router().expect("a router").set_rule(|_| Action::Reset(Ends::Sender));
    for family in FAMILIES {
        let mut ready = ready(&world, family);
        let errno = errno_of(ready.client.connect(ready.near, ready.address)).expect("an errno");
        assert_eq!(errno, Errno::ECONNREFUSED, "{family:?}");
    }
}

#[test]
fn unreachables_of_any_code_are_believed() {
    if skipped("unreachables_of_any_code_are_believed") {
        return;
    }
    let world = routed_world();
    let router = world.router().expect("a router");
    for (family, code, errno) in [
        (Family::V4, 0, Errno::ENETUNREACH),
        (Family::V4, 1, Errno::EHOSTUNREACH),
        (Family::V4, 3, Errno::ECONNREFUSED),
        (Family::V4, 13, Errno::EHOSTUNREACH),
        (Family::V6, 0, Errno::ENETUNREACH),
        (Family::V6, 1, Errno::EACCES),
        (Family::V6, 3, Errno::EHOSTUNREACH),
        (Family::V6, 4, Errno::ECONNREFUSED),
    ] {
        router.set_rule(move |_| Action::Unreachable(code));
        let mut ready = ready(&world, family);
        let got = errno_of(ready.client.connect(ready.near, ready.address)).expect("an errno");
        assert_eq!(got, errno, "{family:?} code {code}");
    }
}

#[test]
fn a_segment_can_be_answered_with_resets_to_both_ends() {
    if skipped("a_segment_can_be_answered_with_resets_to_both_ends") {
        return;
    }
    for family in FAMILIES {
        let world = routed_world();
        let Ready { mut client, near, mut server, listener, address } = ready(&world, family);
        client.connect(near, address).expect("connect");
        let (far, from) = server.accept(listener).expect("accept");
        let rule = |segment: &crate::lab::packet::Segment| match segment.payload {
            0 => Action::Pass,
            _ => Action::Reset(Ends::Both),
        };
        world.router().expect("a router").set_rule(rule);
        client.send(near, 5).expect("send");
        assert_eq!(errno_of(client.recv(near, 5)).expect("an errno"), Errno::ECONNRESET, "{family:?}");
        assert_eq!(errno_of(server.recv(far, 5)).expect("an errno"), Errno::ECONNRESET, "{family:?}");
        for (side, local, remote) in [(Side::A, from, address), (Side::B, address, from)] {
            assert_eq!(world.namespace(side).socket_state(local, remote).expect("sock_diag"), None);
        }
    }
}

#[test]
fn what_is_dropped_never_arrives_and_what_is_delayed_does() {
    if skipped("what_is_dropped_never_arrives_and_what_is_delayed_does") {
        return;
    }
    let world = routed_world();
    let router = world.router().expect("a router");
    let delay = Duration::from_millis(100);
    let Ready { mut client, near, mut server, listener, address } = ready(&world, Family::V4);
    client.connect(near, address).expect("connect");
    let (far, from) = server.accept(listener).expect("accept");

    router.set_rule(move |segment| if segment.payload > 0 { Action::Delay(delay) } else { Action::Pass });
    let start = std::time::Instant::now();
    client.send(near, 5).expect("send");
    assert_eq!(server.recv(far, 5).expect("recv"), 5);
    assert!(start.elapsed() >= delay, "it came after {:?}", start.elapsed());

    router.set_rule(|_| Action::Hold);
    client.send(near, 5).expect("send");
    assert_eq!(server.poll(far, Events::EPOLLIN, delay).expect("poll"), Events::empty());
    router.release();
    assert_eq!(server.recv(far, 5).expect("recv"), 5);

    router.set_rule(|_| Action::Drop);
    client.set(near, SocketOption::UserTimeout(300)).expect("setsockopt");
    client.send(near, 5).expect("send");
    client.poll(near, Events::empty(), SOON).expect("poll");
    assert_eq!(client.take_error(near).expect("SO_ERROR"), Some(Errno::ETIMEDOUT));
    let state = world.namespace(Side::B).socket_state(address, from).expect("sock_diag");
    assert_eq!(state, Some(State::Established));
}

#[test]
fn a_sysctl_reaches_one_namespace_alone() {
    if skipped("a_sysctl_reaches_one_namespace_alone") {
        return;
    }
    let name = "net.ipv4.tcp_fin_timeout";
    let host = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout").expect("the host's");
    let world = super::world();
    let before = world.namespace(Side::B).sysctl(name).expect("a value");
    world.namespace(Side::A).set_sysctl(name, "7").expect("a new value");
    assert_eq!(world.namespace(Side::A).sysctl(name).expect("a value"), "7");
    assert_eq!(world.namespace(Side::B).sysctl(name).expect("a value"), before);
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout").expect("the host's"), host);
    assert!(world.namespace(Side::A).has_sysctl(name).expect("/proc/sys"));
    assert!(!world.namespace(Side::A).has_sysctl("net.ipv4.tcp_no_such").expect("/proc/sys"));
    assert!(world.namespace(Side::A).has_sysctl("kernel.hostname").is_err());
    assert!(world.namespace(Side::A).set_sysctl("kernel.hostname", "x").is_err());
    assert!(world.namespace(Side::A).set_sysctl("net./../kernel/hostname", "x").is_err());
}
