//! Actors: their names, their limits, and how they end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::{skipped, world};
use crate::lab::actor::{Actor, Call, CallError, Direction, Domain, Fd, SocketOption, errno_of};
use crate::lab::path::{Family, Medium, Path, Side};
use crate::lab::world::World;

const LOOPBACK: Path = Path::new(Medium::Loopback, Family::V4);

/// Two actors on the loopback of A with a connection between them, and their ends.
fn connected(world: &World) -> ((Actor, Fd), (Actor, Fd)) {
    let mut server = world.actor(Side::A, "server").expect("a server");
    let mut client = world.actor(Side::A, "client").expect("a client");
    let listener = server.socket(Domain::V4).expect("socket");
    server.bind(listener, LOOPBACK.address(Side::A, 0)).expect("bind");
    server.listen(listener, 1).expect("listen");
    let address = server.local_address(listener).expect("getsockname");
    let near = client.socket(Domain::V4).expect("socket");
    client.connect(near, address).expect("connect");
    let (far, from) = server.accept(listener).expect("accept");
    assert_eq!(client.local_address(near).expect("getsockname"), from);
    assert_eq!(client.peer_address(near).expect("getpeername"), address);
    ((client, near), (server, far))
}

#[test]
fn an_actor_is_a_process_of_its_own_name_in_its_namespace() {
    if skipped("an_actor_is_a_process_of_its_own_name_in_its_namespace") {
        return;
    }
    let world = world();
    let actor = world.actor(Side::B, "some-name").expect("an actor");
    let read = |file: &str| {
        fs::read_to_string(format!("/proc/{}/{file}", actor.pid())).expect("a file of the actor")
    };
    assert_eq!(read("comm"), "some-name\n");
    let link = fs::read_link(format!("/proc/{}/ns/net", actor.pid())).expect("the namespace of the actor");
    assert_eq!(link.to_str(), Some(format!("net:[{}]", world.inodes()[1]).as_str()));
    assert_ne!(fs::read_link("/proc/thread-self/ns/net").expect("our namespace"), link);
}

#[test]
fn a_call_that_hangs_is_told_and_not_waited_for() {
    if skipped("a_call_that_hangs_is_told_and_not_waited_for") {
        return;
    }
    let world = world();
    let ((mut client, fd), _server) = connected(&world);
    let error = client.recv(fd, 1).expect_err("nothing was sent");
    let CallError::Broken { request, problem, .. } = &error else { panic!("{error}") };
    assert!(request.starts_with("Recv"), "{request}");
    assert!(problem.contains("no answer within 10s"), "{problem}");
    // Its answer would be taken for that of the next call.
    assert!(client.close(fd).is_err());
}

#[test]
fn calls_go_on_while_another_waits() {
    if skipped("calls_go_on_while_another_waits") {
        return;
    }
    let world = world();
    let ((mut client, near), (mut server, far)) = connected(&world);
    let recv = Call::Recv { fd: near, bytes: 10, peek: false, dont_wait: false };
    let started = client.start::<usize>(recv).expect("a thread");
    client.wait_blocked(&started).expect("the thread waits");
    assert_eq!(client.take_error(near).expect("SO_ERROR"), None);
    assert!(client.close(near).is_err(), "the socket is in use");
    assert_eq!(server.send(far, 7).expect("send"), 7);
    assert_eq!(client.join(started).expect("recv"), 7);
}

#[test]
fn options_are_set_and_failures_have_names() {
    if skipped("options_are_set_and_failures_have_names") {
        return;
    }
    let world = world();
    let ((mut client, near), _server) = connected(&world);
    for option in [
        SocketOption::Linger(Some(1)),
        SocketOption::Linger(None),
        SocketOption::Linger2(-1),
        SocketOption::ReceiveBuffer(65_536),
        SocketOption::SendBuffer(65_536),
        SocketOption::ReuseAddress(true),
        SocketOption::Keepalive(true),
        SocketOption::KeepaliveIdle(10),
        SocketOption::KeepaliveInterval(1),
        SocketOption::KeepaliveProbes(3),
        SocketOption::UserTimeout(500),
        SocketOption::NoDelay(true),
        SocketOption::Nonblocking(true),
        SocketOption::Repair(true),
        SocketOption::Repair(false),
    ] {
        client.set(near, option).expect("setsockopt");
    }
    assert_eq!(errno_of(client.set(near, SocketOption::KeepaliveIdle(0))).expect("an errno"), Errno::EINVAL);
    assert_eq!(errno_of(client.set(near, SocketOption::OnlyV6(true))).expect("an errno"), Errno::ENOPROTOOPT);
    assert_eq!(errno_of(client.recv(near, 1)).expect("an errno"), Errno::EAGAIN);
    let second = client.duplicate(near).expect("dup");
    client.close(near).expect("close");
    client.peer_address(second).expect("the connection is still open");
}

#[test]
fn ends_are_told_as_they_were() {
    if skipped("ends_are_told_as_they_were") {
        return;
    }
    let world = world();
    let actor = || world.actor(Side::A, "mortal").expect("an actor");
    assert_eq!(actor().exit(3).expect("the end").code(), Some(3));
    assert_eq!(actor().abort().expect("the end").signal(), Some(Signal::SIGABRT as i32));
    let killed = actor();
    killed.kill(Signal::SIGKILL).expect("kill");
    assert_eq!(killed.wait().expect("the end").signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn sigpipe_is_ignored_until_it_is_asked_for() {
    if skipped("sigpipe_is_ignored_until_it_is_asked_for") {
        return;
    }
    let world = world();
    let ((mut client, near), _server) = connected(&world);
    client.shutdown(near, Direction::Write).expect("shutdown");
    let send = Call::Send { fd: near, bytes: 1, no_signal: false };
    assert_eq!(errno_of(client.call::<usize>(send)).expect("an errno"), Errno::EPIPE);
    client.default_sigpipe().expect("the default");
    assert!(client.call::<usize>(send).is_err_and(|error| error.errno().is_none()));
    assert_eq!(client.wait().expect("the end").signal(), Some(Signal::SIGPIPE as i32));
}

#[test]
fn a_dropped_actor_ends_even_in_the_middle_of_a_call() {
    if skipped("a_dropped_actor_ends_even_in_the_middle_of_a_call") {
        return;
    }
    let world = world();
    let ((mut client, near), _server) = connected(&world);
    let recv = Call::Recv { fd: near, bytes: 1, peek: false, dont_wait: false };
    let started = client.start::<usize>(recv).expect("a thread");
    client.wait_blocked(&started).expect("the thread waits");
    let path = format!("/proc/{}", client.pid());
    let start = std::time::Instant::now();
    drop(client);
    assert!(!fs::exists(path).expect("/proc"));
    assert!(start.elapsed() < Duration::from_secs(1), "it had to be killed");
}
