//! An event loop is told that its connection failed, and calls connect() once more on the same descriptor.

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::attempt::connect_in_background;
use super::scene::{ALL_FAMILIES, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Domain, errno_of};
use crate::lab::path::Side;

const PATTERN: &str = "connect_retry_aborted";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "refused", media: ANY, families: ALL_FAMILIES, play: refused }];

fn refused(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = (scene.client()?, scene.server()?);
    // Bound, so that nobody else gets the port, and not listening.
    let (_, address) = scene.bound(&mut server)?;
    let fd = client.socket(Domain::of(address))?;
    let first = connect_in_background(&mut client, fd, address)?;
    ensure!(first == Errno::ECONNREFUSED, "the first attempt gave {first:?}");
    let errno = errno_of(client.connect(fd, address))?;
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: scene.namespace(Side::A).inode(),
        local_pid: Some(client.pid()),
        fd: Some(fd.0),
        peer_pid: None,
        peer_is_silent: false,
        errno: Some(format!("{errno:?}")),
        allowed: &["connection_refused"],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![client, server]))
}
