//! SYNs from addresses that nobody has fill a server's queue of half-open connections; a real client comes after them.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, FORGED_SEQ, SOON, Scene, Service};
use super::{Case, Expected, Outcome, ROUTED, synack_lost};
use crate::lab::actor::Domain;
use crate::lab::path::Side;
use crate::lab::router::Action;

const PATTERN: &str = "syn_queue_overflow";
/// What the server gives `listen`; one more than this can be half-open.
const BACKLOG: u8 = 3;
/// From where the SYNs seem to come.
const STRANGERS_PORT: u16 = 4_000;
/// In which rounds of answers that are sent again a real client comes: after 1, 3 and 7 s.
const ROUNDS: usize = 3;

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "dropping",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: dropping,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "sending_cookies",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: sending_cookies,
    },
];

/// Without cookies the client's SYNs are dropped, until it gives up.
fn dropping(scene: &Scene<'_>) -> Result<Outcome> {
    let (server, _) = flooded(scene, "0")?;
    let mut client = scene.client()?;
    let errno = synack_lost::connect(&mut client, server.address)?;
    ensure!(errno == Errno::ETIMEDOUT, "connect gave {errno:?}");
    scene.namespace(Side::B).wait_drops(server.address, 1, SOON)?;
    Ok(found(scene, server, vec![client]))
}

/// With cookies every client is connected at once.
fn sending_cookies(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut server, rounds) = flooded(scene, "1")?;
    let mut client = scene.client()?;
    for _ in 0..ROUNDS {
        // The last of them was answered again: the queue is as full as it was.
        rounds.recv_timeout(2 * SOON).context("waiting for an answer to be sent again")?;
        let fd = client.socket(Domain::of(server.address))?;
        client.connect(fd, server.address)?;
        server.actor.accept(server.listener)?;
    }
    Ok(found(scene, server, vec![client]))
}

/// A server whose queue is full, and what tells when the last of the strangers is answered again.
fn flooded(scene: &Scene<'_>, cookies: &str) -> Result<(Service, Receiver<()>)> {
    let host = scene.namespace(Side::B);
    host.set_sysctl("net.ipv4.tcp_syncookies", cookies)?;
    let mut actor = scene.server()?;
    let (listener, address) = scene.bound(&mut actor)?;
    actor.listen(listener, i32::from(BACKLOG))?;
    let mut service = Service { actor, listener, address };
    scene.prove_way(&mut service)?;
    let last = stranger(scene, BACKLOG)?;
    let (sender, rounds) = channel();
    let mut answers = 0;
    scene.router()?.set_rule(move |segment| {
        if segment.syn && segment.destination.ip() == last.ip().to_canonical() {
            answers += 1;
            if answers > 1 {
                // Nobody listens any more once the case has gone on.
                _ = sender.send(());
            }
        }
        Action::Pass
    });
    for number in 0..=BACKLOG {
        scene.router()?.syn(stranger(scene, number)?, address, FORGED_SEQ)?;
    }
    host.wait_state(address, last, Some(State::SynRecv), SOON)?;
    Ok((service, rounds))
}

fn stranger(scene: &Scene<'_>, number: u8) -> Result<SocketAddr> {
    scene.path.stranger(number, STRANGERS_PORT).context("this path has no strangers")
}

fn found(scene: &Scene<'_>, server: Service, clients: Vec<crate::lab::actor::Actor>) -> Outcome {
    let expected = Expected {
        pattern: PATTERN,
        port: server.address.port(),
        netns: scene.namespace(Side::B).inode(),
        local_pid: Some(server.actor.pid()),
        fd: Some(server.listener.0),
        peer_pid: None,
        peer_is_silent: false,
        errno: None,
        // What a client itself got.
        allowed: &["connect_timeout"],
    };
    let actors = std::iter::once(server.actor).chain(clients).collect();
    Outcome::of(Some(expected), server.address.port(), actors)
}
