//! The server's socket vanishes without a word, and the client waits for what will never come.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene};
use super::{Case, Outcome, WIRE};
use crate::lab::actor::SocketOption;

const PATTERN: &str = "half_open_suspect";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "waits", media: WIRE, families: ALL_FAMILIES, play: waits }];

/// Without keepalive nothing is sent that could tell.
fn waits(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { local: mut client, other: mut server, port } = scene.ends(Role::Client)?;
    // Otherwise a late acknowledgement would meet nobody.
    scene.wait_acknowledged(&server, &client)?;
    // It is in progress until the process ends.
    let _waiting = client.waiting_recv()?;
    server.actor.set(server.fd, SocketOption::Repair(true))?;
    server.close()?;
    scene.wait_state(&server, &client, None)?;
    // The FIN of the client's end is answered with a RST.
    Ok(Ends { local: client, other: server, port }.found_here_alone(
        scene,
        PATTERN,
        None,
        &["peer_lost_state"],
    ))
}
