//! Ordinary traffic that looks like trouble.

use std::net::SocketAddr;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, FORGED_SEQ, REQUEST, SOON, Scene, Service, exchange};
use super::{ANY, Case, Outcome, ROUTED};
use crate::lab::actor::{Call, Direction, Domain, Fd, SocketOption, errno_of};
use crate::lab::path::{Family, Medium, Path};
use crate::lab::router::Action;

/// A port of the silent host; nobody is there to take it.
const SILENT_PORT: u16 = 7;
/// As many answers to one SYN, the first not counted, would be told if the client repeated it.
const AGAIN: usize = 3;
/// Of so many free ports of one family, one is free in the other as well.
const FREE_PORTS: usize = 5;

const fn decoy(
    variant: &'static str,
    media: &'static [Medium],
    families: &'static [Family],
    play: fn(&Scene<'_>) -> Result<Outcome>,
) -> Case {
    Case { pattern: None, variant, media, families, play }
}

pub(super) const CASES: &[Case] = &[
    decoy("half_close", ANY, ALL_FAMILIES, half_close),
    decoy("eof_after_own_shutdown", ANY, ALL_FAMILIES, eof_after_own_shutdown),
    decoy("server_closes_first", ANY, ALL_FAMILIES, server_closes_first),
    decoy("keep_alive", ANY, ALL_FAMILIES, keep_alive),
    decoy("would_block", ANY, ALL_FAMILIES, would_block),
    decoy("reset_of_orphan", ANY, ALL_FAMILIES, reset_of_orphan),
    decoy("clean_exit", ANY, ALL_FAMILIES, clean_exit),
    decoy("happy_eyeballs", &[Medium::Loopback], &[Family::V6], happy_eyeballs),
    decoy("connect_abandoned", ROUTED, ALL_FAMILIES, connect_abandoned),
    decoy("one_answer_lost", ROUTED, ALL_FAMILIES, one_answer_lost),
    decoy("client_that_vanishes", ROUTED, ALL_FAMILIES, client_that_vanishes),
];

/// The client ends its direction; the reply comes after that.
fn half_close(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.connection()?;
    client.send(10)?;
    client.actor.shutdown(client.fd, Direction::Write)?;
    server.receive(10)?;
    server.receive(0)?;
    server.send(100)?;
    client.receive(100)?;
    server.close()?;
    client.receive(0)?;
    client.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// The client says that it sends no more and wants no answer; the end of the stream is all that comes.
fn eof_after_own_shutdown(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.connection()?;
    client.send(REQUEST)?;
    client.actor.shutdown(client.fd, Direction::Write)?;
    let waiting = client.waiting_recv()?;
    server.receive(REQUEST)?;
    server.receive(0)?;
    server.close()?;
    let read = client.actor.join(waiting)?;
    ensure!(read == 0, "the client read {read} bytes");
    client.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// The server closes first and the client follows at once.
fn server_closes_first(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.used_connection()?;
    server.close()?;
    client.wait_end_of_stream()?;
    client.receive(0)?;
    client.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// Twenty requests on one connection, then an orderly end.
fn keep_alive(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.connection()?;
    for _ in 0..20 {
        exchange(&mut client, &mut server)?;
    }
    client.close()?;
    server.receive(0)?;
    server.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// Reads that find nothing yet.
fn would_block(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.connection()?;
    for _ in 0..5 {
        let look = Call::Recv { fd: server.fd, bytes: 10, peek: false, dont_wait: true };
        let errno = errno_of(server.actor.call::<usize>(look))?;
        ensure!(errno == Errno::EAGAIN, "an early read gave {errno:?}");
    }
    exchange(&mut client, &mut server)?;
    client.close()?;
    server.receive(0)?;
    server.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// The server has closed for good; the client aborts what nobody holds any more.
fn reset_of_orphan(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = scene.used_connection()?;
    server.close()?;
    client.wait_end_of_stream()?;
    scene.wait_state(&server, &client, Some(State::FinWait2))?;
    client.actor.set(client.fd, SocketOption::Linger(Some(0)))?;
    client.close()?;
    scene.wait_state(&server, &client, None)?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// The client's process ends well, with its socket open and nothing unread.
fn clean_exit(scene: &Scene<'_>) -> Result<Outcome> {
    let (client, mut server) = scene.used_connection()?;
    let pid = client.actor.pid();
    let status = client.actor.exit(0)?;
    ensure!(status.success(), "the client ended with {status}");
    server.wait_end_of_stream()?;
    server.receive(0)?;
    server.close()?;
    let mut outcome = Outcome::of(None, server.address.port(), vec![server.actor]);
    outcome.pids.push(pid);
    Ok(outcome)
}

/// `localhost` is tried as `::1`, where nobody listens, then as 127.0.0.1.
fn happy_eyeballs(scene: &Scene<'_>) -> Result<Outcome> {
    let old = Scene::new(scene.world(), Path::new(Medium::Loopback, Family::V4));
    let (Service { mut actor, listener, address }, first) = served_by_one(&old, scene)?;
    let mut client = scene.client()?;
    let fd = client.socket(Domain::of(first))?;
    let errno = errno_of(client.connect(fd, first))?;
    ensure!(errno == Errno::ECONNREFUSED, "the first address gave {errno:?}");
    client.close(fd)?;
    let fd: Fd = client.socket(Domain::of(address))?;
    client.connect(fd, address)?;
    let (accepted, _) = actor.accept(listener)?;
    client.close(fd)?;
    let end = actor.recv(accepted, 1)?;
    ensure!(end == 0, "the client sent something");
    actor.close(accepted)?;
    Ok(Outcome::of(None, address.port(), vec![client, actor]))
}

/// A service of the old family, and its port at the new one, where nobody listens as long as it lives.
///
/// A free port of one family may be the port at which another case listens by the other: whoever holds it there, without
/// listening, keeps everybody else away.
fn served_by_one(old: &Scene<'_>, new: &Scene<'_>) -> Result<(Service, SocketAddr)> {
    for _ in 0..FREE_PORTS {
        let mut service = old.service()?;
        let other = new.path.address(new.path.server_side(), service.address.port());
        let holder = service.actor.socket(Domain::of(other))?;
        match service.actor.bind(holder, other) {
            Ok(()) => return Ok((service, other)),
            bound => {
                let errno = errno_of(bound)?;
                ensure!(errno == Errno::EADDRINUSE, "bind gave {errno:?}");
            }
        }
    }
    bail!("{FREE_PORTS} free ports of one family were used by the other")
}

/// The client gives up at once on a host that says nothing.
fn connect_abandoned(scene: &Scene<'_>) -> Result<Outcome> {
    let mut client = scene.client()?;
    let address = scene.path.silent_address(SILENT_PORT).context("this path has no silent host")?;
    let fd = client.socket(Domain::of(address))?;
    client.set(fd, SocketOption::Nonblocking(true))?;
    let errno = errno_of(client.connect(fd, address))?;
    ensure!(errno == Errno::EINPROGRESS, "connect gave {errno:?}");
    client.close(fd)?;
    Ok(Outcome::of(None, address.port(), vec![client]))
}

/// The first answer to a SYN is lost; the next arrives, and all goes well.
fn one_answer_lost(scene: &Scene<'_>) -> Result<Outcome> {
    let service = scene.service()?;
    let mut lost = false;
    scene.router()?.set_rule(move |segment| {
        let answer = segment.syn && segment.ack.is_some();
        let first = answer && !std::mem::replace(&mut lost, true);
        if first { Action::Drop } else { Action::Pass }
    });
    let (mut client, mut server) = scene.connection_to(service)?;
    exchange(&mut client, &mut server)?;
    client.close()?;
    server.receive(0)?;
    server.close()?;
    Ok(Outcome::of(None, server.address.port(), vec![client.actor, server.actor]))
}

/// One SYN comes and no more, from a host that answers nothing: it is answered in vain, three times at least.
fn client_that_vanishes(scene: &Scene<'_>) -> Result<Outcome> {
    let mut service = scene.service()?;
    scene.prove_way(&mut service)?;
    let Service { actor, address, .. } = service;
    let stranger = scene.path.stranger(0, SILENT_PORT).context("this path has no strangers")?;
    let (sender, answers) = channel();
    scene.router()?.set_rule(move |_| {
        // Nobody listens any more once the case has gone on.
        _ = sender.send(());
        Action::Pass
    });
    scene.router()?.syn(stranger, address, FORGED_SEQ)?;
    for _ in 0..=AGAIN {
        answers.recv_timeout(2 * SOON).context("waiting for an answer")?;
    }
    Ok(Outcome::of(None, address.port(), vec![actor]))
}
