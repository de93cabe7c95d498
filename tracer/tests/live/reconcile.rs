//! The kernel's own counters against what was seen: known numbers of each kind of failure, in namespaces that nobody
//! else uses.

use super::support::{Watch, refuse_connection, skipped};
use nix::{
    libc, setsockopt_impl, sockopt_impl,
    sys::socket::{GetSockOpt as _, SetSockOpt as _, sockopt::SocketError},
};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};
use tracer::lab::{
    actor::Program,
    path::{Family, Medium, Path, Side},
    router::{Action, Ends},
    world::World,
};
use tracer_common::State;

sockopt_impl!(
    /// `TCP_LINGER2`
    Linger2,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_LINGER2,
    libc::c_int
);

/// More than the kernel tells one by one in a second.
const FLOOD: u64 = 3_000;
/// Nothing takes so long here.
const LIMIT: Duration = Duration::from_secs(20);
/// What counts in a host, by the kernel's names.
type Wanted = BTreeMap<&'static str, u64>;

#[test]
fn every_counter_of_the_kernel_is_explained() {
    if skipped("every_counter_of_the_kernel_is_explained") {
        return;
    }
    let mut watch = Watch::everywhere(&[]);
    let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let world = World::with_router(program).expect("a world");
    // A namespace is found by its processes.
    let actors = [Side::A, Side::B].map(|side| world.actor(side, "lab-holder").expect("an actor"));
    let mut wanted = [Wanted::new(), Wanted::new()];
    for deed in [refusals, unread, aborts, silent_aborts, late_writes, lost_state, timeouts, parked, unborn] {
        deed(&world, &mut wanted);
    }
    let (_, stop) = watch.stop();
    drop(actors);
    for (inode, mut wanted) in world.inodes().into_iter().zip(wanted) {
        let entry = namespace(&stop, inode).unwrap_or_else(|| panic!("no {inode}: {stop:#}"));
        assert_eq!((&entry["appeared"], &entry["gone"]), (&true.into(), &false.into()));
        let embryonic = wanted.remove("EmbryonicRsts").unwrap_or(0);
        assert_eq!(entry["counter_only"]["EmbryonicRsts"], embryonic, "{entry:#}");
        assert_eq!(entry["counters"]["AttemptFails"]["by_embryonic_rsts"], embryonic, "{entry:#}");
        let counters = entry["counters"].as_object().expect("counters");
        assert_eq!(counters.len(), 8, "{entry:#}");
        for (name, counter) in counters {
            let count = wanted.get(name.as_str()).copied().unwrap_or(0);
            assert_eq!(counter["counted"], count, "{name}: {entry:#}");
            assert_eq!(counter["explained"], count, "{name}: {entry:#}");
            assert_eq!(counter["unexplained"], 0, "{name}: {entry:#}");
        }
    }
    assert_eq!(stop["lost"]["recursion"], 0);
}

#[test]
fn a_namespace_that_goes_is_told_with_its_last_counts() {
    if skipped("a_namespace_that_goes_is_told_with_its_last_counts") {
        return;
    }
    let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let world = World::new(program).expect("a world");
    let actor = world.actor(Side::A, "lab-holder").expect("an actor");
    within(&world, Side::A, || refuse_connection(7));
    let mut watch = Watch::everywhere(&[]);
    within(&world, Side::A, || (0..2).for_each(|_| refuse_connection(7)));
    let inode = world.inodes()[0];
    drop(actor);
    drop(world);
    let (_, stop) = watch.stop();
    let entry = namespace(&stop, inode).unwrap_or_else(|| panic!("no {inode}: {stop:#}"));
    assert_eq!(entry["appeared"], false);
    // What was before the watch is not its business.
    assert_eq!(entry["counters"]["OutRsts"]["counted"], 2, "{entry:#}");
    assert_eq!(entry["counters"]["OutRsts"]["explained"], 2, "{entry:#}");
}

#[test]
fn who_asks_for_some_connections_gets_no_reconciliation() {
    if skipped("who_asks_for_some_connections_gets_no_reconciliation") {
        return;
    }
    for (flags, told) in [
        (&[][..], true),
        (&["--pattern", "connection_refused", "--min-severity", "critical"], true),
        (&["--port", "7"], false),
        (&["--addr", "10.0.0.0/8"], false),
        (&["-6"], false),
        (&["--pid", "1"], false),
        (&["--comm", "no-such-name"], false),
    ] {
        let (_, stop) = Watch::everywhere(flags).stop();
        assert_eq!(stop.get("reconciliation").is_some(), told, "{flags:?}: {stop}");
    }
}

fn namespace(stop: &Value, inode: u32) -> Option<&Value> {
    let all = stop["reconciliation"]["namespaces"].as_array().expect("a list");
    all.iter().find(|entry| entry["netns"] == inode)
}

fn within<T: Send>(world: &World, side: Side, work: impl FnOnce() -> T + Send) -> T {
    world.namespace(side).enter(|| Ok(work())).expect("the namespace is there")
}

fn add(wanted: &mut [Wanted; 2], side: Side, counts: &[(&'static str, u64)]) {
    let wanted = if side == Side::A { &mut wanted[0] } else { &mut wanted[1] };
    for (name, count) in counts {
        *wanted.entry(name).or_default() += count;
    }
}

/// A connection on this medium: the end of the client, on A, and that of the server.
fn connection(world: &World, medium: Medium) -> (TcpStream, TcpStream) {
    let path = Path::new(medium, Family::V4);
    let listener =
        within(world, path.server_side(), || TcpListener::bind(path.address(path.server_side(), 0)));
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = within(world, Side::A, || TcpStream::connect(address)).expect("it listens");
    let (server, _) = listener.accept().expect("it waits");
    (client, server)
}

/// Lets everything pass again, once the router has read what it was to swallow: it reads in order.
fn pass_all(world: &World) {
    drop(connection(world, Medium::Routed));
    world.router().expect("a router").set_rule(|_| Action::Pass);
}

fn ends(client: &TcpStream) -> (SocketAddr, SocketAddr) {
    (client.local_addr().expect("an address"), client.peer_addr().expect("an address"))
}

/// Ports on which nothing listens, more than are told, and by both families.
fn refusals(world: &World, wanted: &mut [Wanted; 2]) {
    within(world, Side::A, || (0..FLOOD).for_each(|_| refuse_connection(7)));
    within(world, Side::A, || TcpStream::connect((Ipv6Addr::LOCALHOST, 7)).expect_err("nothing listens"));
    add(wanted, Side::A, &[("OutRsts", FLOOD + 1), ("AttemptFails", FLOOD + 1)]);
}

/// Closes with unread data.
fn unread(world: &World, wanted: &mut [Wanted; 2]) {
    for _ in 0..4 {
        let (mut client, server) = connection(world, Medium::Loopback);
        client.write_all(b"hello").expect("it is open");
        server.peek(&mut [0; 8]).expect("data");
        drop(server);
        client.read(&mut [0]).expect_err("a reset");
    }
    add(wanted, Side::A, &[("OutRsts", 4), ("TCPAbortOnClose", 4), ("EstabResets", 8)]);
}

/// Closes with SO_LINGER 0.
fn aborts(world: &World, wanted: &mut [Wanted; 2]) {
    for _ in 0..2 {
        let (client, mut server) = connection(world, Medium::Wire);
        abort(client);
        server.read(&mut [0]).expect_err("a reset");
    }
    add(wanted, Side::A, &[("OutRsts", 2), ("TCPAbortOnData", 2), ("EstabResets", 2)]);
    add(wanted, Side::B, &[("EstabResets", 2)]);
}

fn abort(stream: impl std::os::fd::AsFd) {
    SockRef::from(&stream.as_fd()).set_linger(Some(Duration::ZERO)).expect("an option");
}

/// The same where no RST is sent: in LAST_ACK and in SYN_SENT.
fn silent_aborts(world: &World, wanted: &mut [Wanted; 2]) {
    let (client, server) = connection(world, Medium::Routed);
    let (local, remote) = ends(&client);
    server.shutdown(Shutdown::Write).expect("it is open");
    let host = world.namespace(Side::A);
    host.wait_state(local, remote, Some(State::CloseWait), LIMIT).expect("a FIN");
    let other = world.namespace(Side::B);
    other.wait_state(remote, local, Some(State::FinWait2), LIMIT).expect("an answer");
    let router = world.router().expect("a router");
    let nobody = Path::new(Medium::Routed, Family::V4).address(Side::B, 9);
    router.set_rule(move |segment| match (segment.source, segment.destination) {
        (from, to) if from == local || to == nobody => Action::Drop,
        _ => Action::Pass,
    });
    client.shutdown(Shutdown::Write).expect("it is open");
    host.wait_state(local, remote, Some(State::LastAck), LIMIT).expect("no answer");
    abort(&client);
    drop(client);
    // The other end is given up by its process, which nobody hears either.
    abort(&server);
    drop(server);
    within(world, Side::A, || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        socket.connect(&nobody.into()).expect_err("it is on its way");
        abort(&socket);
    });
    pass_all(world);
    add(wanted, Side::A, &[("TCPAbortOnData", 2)]);
    add(wanted, Side::B, &[("TCPAbortOnData", 1), ("OutRsts", 1)]);
}

/// Writes to an end that wants no more: one that is closed and parked, and one that is open.
fn late_writes(world: &World, wanted: &mut [Wanted; 2]) {
    for parked in [true, false] {
        let (mut client, server) = connection(world, Medium::Wire);
        let (local, remote) = ends(&client);
        server.shutdown(Shutdown::Both).expect("it is open");
        // Parked by close(), it would be a full socket for a moment.
        world.namespace(Side::B).wait_state(remote, local, Some(State::FinWait2), LIMIT).expect("an answer");
        let server = (!parked).then_some(server);
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        client.write_all(b"late").expect("nobody knows yet");
        world.namespace(Side::A).wait_state(local, remote, None, LIMIT).expect("a reset");
        drop(server);
    }
    add(wanted, Side::A, &[("EstabResets", 2)]);
    add(wanted, Side::B, &[("OutRsts", 2), ("TCPAbortOnData", 1)]);
}

/// A connection of which the other host knows nothing any more.
fn lost_state(world: &World, wanted: &mut [Wanted; 2]) {
    let (mut client, server) = connection(world, Medium::Routed);
    let (local, remote) = ends(&client);
    let router = world.router().expect("a router");
    router.set_rule(move |segment| if segment.source == remote { Action::Drop } else { Action::Pass });
    world.namespace(Side::B).destroy(remote, local).expect("it is there");
    pass_all(world);
    client.write_all(b"hello").expect("it is open");
    client.read(&mut [0]).expect_err("a reset");
    drop(server);
    add(wanted, Side::A, &[("EstabResets", 1)]);
    // The end that was destroyed, and the answer to what came for it.
    add(wanted, Side::B, &[("EstabResets", 1), ("OutRsts", 2)]);
}

/// Attempts that get no answer, and one of which a router says that it cannot arrive.
fn timeouts(world: &World, wanted: &mut [Wanted; 2]) {
    let host = world.namespace(Side::A);
    host.set_sysctl("net.ipv4.tcp_syn_retries", "1").expect("a sysctl");
    if host.has_sysctl("net.ipv4.tcp_syn_linear_timeouts").expect("a sysctl") {
        host.set_sysctl("net.ipv4.tcp_syn_linear_timeouts", "0").expect("a sysctl");
    }
    let router = world.router().expect("a router");
    let path = Path::new(Medium::Routed, Family::V4);
    router.set_rule(|segment| match segment.destination.port() {
        9 => Action::Drop,
        _ => Action::Unreachable(1),
    });
    let attempt = |port| {
        within(world, Side::A, || TcpStream::connect(path.address(Side::B, port)).expect_err("no answer"))
    };
    thread::scope(|scope| {
        for port in [9, 9, 10] {
            scope.spawn(move || attempt(port));
        }
    });
    router.set_rule(|_| Action::Pass);
    add(wanted, Side::A, &[("AttemptFails", 3), ("TCPAbortOnTimeout", 2)]);
}

/// An end that does not want to be parked.
fn parked(world: &World, wanted: &mut [Wanted; 2]) {
    let (client, mut server) = connection(world, Medium::Wire);
    let (local, remote) = ends(&client);
    Linger2.set(&client, &-1).expect("an option");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(server.read(&mut [0]).expect("the end"), 0);
    world.namespace(Side::A).wait_state(local, remote, Some(State::FinWait2), LIMIT).expect("an answer");
    drop(client);
    world.namespace(Side::B).wait_state(remote, local, None, LIMIT).expect("a reset");
    assert_ne!(SocketError.get(&server).expect("an option"), 0);
    add(wanted, Side::A, &[("OutRsts", 1), ("TCPAbortOnLinger", 1)]);
    add(wanted, Side::B, &[("EstabResets", 1)]);
}

/// A RST that meets a connection before the server has it: no hook sees that.
fn unborn(world: &World, wanted: &mut [Wanted; 2]) {
    let address = Path::new(Medium::Routed, Family::V4).address(Side::B, 0);
    let listener = within(world, Side::B, || TcpListener::bind(address)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = world.router().expect("a router");
    router.set_rule(|segment| match (segment.syn, segment.ack) {
        (true, Some(_)) => Action::Reset(Ends::Both),
        _ => Action::Pass,
    });
    within(world, Side::A, || TcpStream::connect(address)).expect_err("it is refused");
    router.set_rule(|_| Action::Pass);
    add(wanted, Side::A, &[("AttemptFails", 1)]);
    add(wanted, Side::B, &[("AttemptFails", 1), ("EmbryonicRsts", 1)]);
}
