//! The client's host loses the connection without a word, and a new client connects from the same port.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, End, Ends, Scene, exchange};
use super::{ANY, Case, Outcome};
use crate::lab::actor::{Domain, SocketOption, errno_of};
use crate::lab::path::Side;

const PATTERN: &str = "stale_connection_killed";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "same_port", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let service = scene.service()?;
    let (listener, address) = (service.listener, service.address);
    let (mut old, mut server) = scene.connection_to(service)?;
    exchange(&mut old, &mut server)?;
    // Otherwise a late acknowledgement would tell the server already.
    scene.wait_acknowledged(&server, &old)?;
    old.actor.set(old.fd, SocketOption::Repair(true))?;
    old.close()?;
    scene.wait_state(&old, &server, None)?;
    let waiting = server.waiting_recv()?;
    let mut client = scene.client()?;
    let fd = client.socket(Domain::of(address))?;
    client.bind(fd, old.address)?;
    client.connect(fd, address)?;
    let errno = errno_of(server.actor.join(waiting))?;
    // The new connection is a good one.
    let (accepted, _) = server.actor.accept(listener)?;
    let mut client = End::new(client, fd, old.address, Side::A);
    client.send(1)?;
    server.actor.recv(accepted, 1)?;
    let ends = Ends { local: server, other: client, port: address.port() };
    Ok(ends.found(scene, PATTERN, Some(errno), &["connection_reset"]).beside(old.actor))
}
