//! Somebody sends a SYN with the client host's address; that host resets the answer, for which it has no socket.

use std::sync::mpsc::channel;

use anyhow::{Context, Result};

use super::scene::{ALL_FAMILIES, FORGED_SEQ, SOON, Scene, Service};
use super::{Case, Expected, Outcome, ROUTED};
use crate::lab::path::Side;
use crate::lab::router::Action;

const PATTERN: &str = "embryonic_reset";
/// The forged port; nobody on the client's host has it.
const FORGED_PORT: u16 = 4_000;

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "forged_source", media: ROUTED, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let mut service = scene.service()?;
    scene.prove_way(&mut service)?;
    let Service { actor: server, address, .. } = service;
    let victim = scene.path.address(Side::A, FORGED_PORT);
    let (sender, reset) = channel();
    scene.router()?.set_rule(move |segment| {
        if segment.rst {
            // Nobody listens any more once the case has gone on.
            _ = sender.send(());
        }
        Action::Pass
    });
    scene.router()?.syn(victim, address, FORGED_SEQ)?;
    reset.recv_timeout(SOON).context("waiting for a RST")?;
    scene.namespace(Side::B).wait_state(address, victim, None, SOON)?;
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(Side::A).inode(),
        local_pid: None,
        fd: None,
        peer_pid: None,
        peer_is_silent: false,
        errno: None,
        allowed: &[],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![server]))
}
