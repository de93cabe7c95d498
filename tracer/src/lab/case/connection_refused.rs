//! A client connects to a port where nobody listens.

use std::net::SocketAddr;

use anyhow::Result;
use nix::errno::Errno;

use super::attempt::connect_in_background;
use super::scene::{ALL_FAMILIES, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Actor, Domain, Fd, errno_of};
use crate::lab::nft::Segments;
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
        play: |scene| play(scene, false, background),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "own_firewall",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, true, firewalled),
    },
];

/// Connects, and tells how that failed.
type Connect = fn(&Scene<'_>, &mut Actor, Fd, SocketAddr) -> Result<Errno>;

/// `connect` waits for the answer.
fn wait(_: &Scene<'_>, client: &mut Actor, fd: Fd, address: SocketAddr) -> Result<Errno> {
    errno_of(client.connect(fd, address))
}

/// It does not wait, and is told later.
fn background(_: &Scene<'_>, client: &mut Actor, fd: Fd, address: SocketAddr) -> Result<Errno> {
    connect_in_background(client, fd, address)
}

/// A rule of the client's own host rejects its SYN.
fn firewalled(scene: &Scene<'_>, client: &mut Actor, fd: Fd, address: SocketAddr) -> Result<Errno> {
    scene.reject_to(address, Segments::Syn)?;
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
    let errno = connect(scene, &mut client, fd, address)?;
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(Side::A).inode(),
        local_pid: Some(client.pid()),
        fd: Some(fd.0),
        peer_pid: None,
        peer_is_silent: false,
        errno: Some(format!("{errno:?}")),
        allowed: &[],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![client, server]))
}
