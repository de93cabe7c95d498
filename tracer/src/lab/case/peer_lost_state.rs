//! The server's socket vanishes without a word, and the client learns it when it sends.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Scene, exchange};
use super::{ANY, Case, Outcome};
use crate::lab::actor::{SocketOption, errno_of};

const PATTERN: &str = "peer_lost_state";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "gone",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| lost(scene, false),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "restarted",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| lost(scene, true),
    },
];

/// `listens`: the service is there again; otherwise nothing is left of it.
fn lost(scene: &Scene<'_>, listens: bool) -> Result<Outcome> {
    let service = scene.service()?;
    let (listener, port) = (service.listener, service.address.port());
    let (mut client, mut server) = scene.connection_to(service)?;
    exchange(&mut client, &mut server)?;
    // Otherwise a late acknowledgement would be what meets nobody.
    scene.wait_acknowledged(&server, &client)?;
    if !listens {
        server.actor.close(listener)?;
    }
    server.actor.set(server.fd, SocketOption::Repair(true))?;
    server.close()?;
    scene.wait_state(&server, &client, None)?;
    client.send(REQUEST)?;
    let errno = errno_of(client.actor.recv(client.fd, REQUEST))?;
    let ends = Ends { local: client, other: server, port };
    Ok(ends.found_here_alone(scene, PATTERN, errno, &[]))
}
