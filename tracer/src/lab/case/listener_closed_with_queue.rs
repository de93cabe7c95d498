//! A server closes its listener while clients wait in its queue.

use anyhow::{Result, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Scene, Service};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::errno_of;

const PATTERN: &str = "listener_closed_with_queue";
/// Clients that wait.
const CLIENTS: usize = 3;

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "three_clients", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let Service { actor, listener, address } = scene.service()?;
    let mut server = End::new(actor, listener, address, scene.path.server_side());
    let mut clients = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = scene.connected(address)?;
        scene.wait_state(&server, &client, Some(State::Established))?;
        waiting.push(client.waiting_recv()?);
        clients.push(client);
    }
    server.close()?;
    for (client, call) in clients.iter_mut().zip(waiting) {
        let errno = errno_of(client.actor.join(call))?;
        ensure!(errno == Errno::ECONNRESET, "a client got {errno:?}");
    }
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(scene.path.server_side()).inode(),
        local_pid: Some(server.actor.pid()),
        fd: None,
        // The queue is emptied in the order of arrival, and the first speaks for all.
        peer_pid: clients.first().map(|client| client.actor.pid()),
        peer_is_silent: false,
        errno: None,
        allowed: &[],
    };
    let actors = clients.into_iter().map(|client| client.actor).chain([server.actor]).collect();
    Ok(Outcome::of(Some(expected), address.port(), actors))
}
