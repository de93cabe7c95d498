//! A client sends a request and closes while nobody accepts.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, REQUEST, Scene, Service};
use super::{ANY, Case, Outcome};

const PATTERN: &str = "accept_queue_fin";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "never_accepted", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let Service { actor, listener, address } = scene.service()?;
    let server = End::new(actor, listener, address, scene.path.server_side());
    let mut client = scene.connected(address)?;
    scene.wait_state(&server, &client, Some(State::Established))?;
    client.send(REQUEST)?;
    client.close()?;
    scene.wait_state(&server, &client, Some(State::CloseWait))?;
    let ends = Ends { local: server, other: client, port: address.port() };
    Ok(ends.found(scene, PATTERN, None, &["peer_stuck_in_close_wait"]))
}
