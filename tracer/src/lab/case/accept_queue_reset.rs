//! A client gives up, with a RST, while its connection waits to be accepted.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, REQUEST, Scene, Service};
use super::{ANY, Case, Outcome};
use crate::lab::actor::{SocketOption, errno_of};

const PATTERN: &str = "accept_queue_reset";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "accepted_later", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let Service { actor, listener, address } = scene.service()?;
    let mut client = scene.connected(address)?;
    // A RST before the last ACK of the handshake would meet a half-open connection.
    let mut server = End::new(actor, listener, address, scene.path.server_side());
    scene.wait_state(&server, &client, Some(State::Established))?;
    client.send(REQUEST)?;
    client.actor.set(client.fd, SocketOption::Linger(Some(0)))?;
    client.close()?;
    scene.wait_state(&server, &client, None)?;
    // accept knows nothing of it; the request can be read, then the error comes.
    (server.fd, _) = server.actor.accept(listener)?;
    server.receive(REQUEST)?;
    let errno = errno_of(server.actor.recv(server.fd, REQUEST))?;
    let ends = Ends { local: server, other: client, port: address.port() };
    Ok(ends.found(scene, PATTERN, Some(errno), &["linger_zero_abort"]))
}
