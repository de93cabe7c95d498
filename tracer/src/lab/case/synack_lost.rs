//! The server answers the client's SYNs, and its answers are lost on the way back.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::scene::{ALL_FAMILIES, Scene, Service};
use super::{Case, Expected, Outcome, ROUTED, attempt};
use crate::lab::actor::{Actor, Domain, SocketOption};
use crate::lab::path::Side;
use crate::lab::router::Action;

const PATTERN: &str = "synack_lost";
/// Time enough for three SYNs at least, however the kernel spaces them.
const GIVING_UP_MS: u32 = 4_000;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "way_back_broken",
    media: ROUTED,
    families: ALL_FAMILIES,
    play,
}];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let Service { actor: server, listener, address } = scene.service()?;
    let mut client = scene.client()?;
    scene.router()?.set_rule(|segment| match segment.ack {
        Some(_) if segment.syn => Action::Drop,
        _ => Action::Pass,
    });
    let errno = connect(&mut client, address)?;
    ensure!(errno == Errno::ETIMEDOUT, "connect gave {errno:?}");
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(Side::B).inode(),
        local_pid: Some(server.pid()),
        fd: Some(listener.0),
        peer_pid: None,
        peer_is_silent: false,
        errno: None,
        // What the client itself got.
        allowed: &["connect_timeout"],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![server, client]))
}

/// How a connect fails whose SYNs the kernel repeats for some seconds.
pub(super) fn connect(client: &mut Actor, address: SocketAddr) -> Result<Errno> {
    let fd = client.socket(Domain::of(address))?;
    client.set(fd, SocketOption::UserTimeout(GIVING_UP_MS))?;
    attempt::connect_in_background(client, fd, address)
}
