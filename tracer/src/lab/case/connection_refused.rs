//! A client connects to a port where nobody listens.

use std::net::SocketAddr;

use anyhow::Result;
use nix::errno::Errno;

use super::attempt::connect_in_background;
use super::scene::{ALL_FAMILIES, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Actor, Domain, Fd, errno_of};
use crate::lab::path::Side;

const PATTERN: &str = "connection_refused";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "closed_port",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, false, wait),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "bound_port",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, true, wait),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "nonblocking",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, false, connect_in_background),
    },
];

/// Connects, and tells how that failed.
type Connect = fn(&mut Actor, Fd, SocketAddr) -> Result<Errno>;

/// `connect` waits for the answer.
fn wait(client: &mut Actor, fd: Fd, address: SocketAddr) -> Result<Errno> {
    errno_of(client.connect(fd, address))
}

/// `bound`: a process holds the port but does not listen.
fn play(scene: &Scene<'_>, bound: bool, connect: Connect) -> Result<Outcome> {
    let (mut client, mut server) = (scene.client()?, scene.server()?);
    let (holder, address) = scene.bound(&mut server)?;
    if !bound {
        server.close(holder)?;
    }
    let fd = client.socket(Domain::of(address))?;
    let errno = connect(&mut client, fd, address)?;
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
