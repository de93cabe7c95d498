//! A client connects to a port where nobody listens.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Domain, errno_of};
use crate::lab::path::Side;

const PATTERN: &str = "connection_refused";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "closed_port",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, false),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "bound_port",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, true),
    },
];

/// `bound`: a process holds the port but does not listen.
fn play(scene: &Scene<'_>, bound: bool) -> Result<Outcome> {
    let (mut client, mut server) = (scene.client()?, scene.server()?);
    let (holder, address) = scene.bound(&mut server)?;
    if !bound {
        server.close(holder)?;
    }
    let fd = client.socket(Domain::of(address))?;
    let errno = errno_of(client.connect(fd, address))?;
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(Side::A).inode(),
        local_pid: Some(client.pid()),
        fd: Some(fd.0),
        peer_pid: None,
        errno: Some(format!("{errno:?}")),
        allowed: &[],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![client, server]))
}
