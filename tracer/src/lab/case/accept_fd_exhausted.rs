//! A server that has no descriptor left cannot take the connections that wait for it.

use anyhow::{Result, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, Scene, Service, exchange};
use super::{ANY, Case, Outcome};
use crate::lab::actor::errno_of;

const PATTERN: &str = "accept_fd_exhausted";
/// How often the server tries, as a loop does that takes each failure for a passing one.
const TRIES: usize = 4;

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "one_waits", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let Service { actor, listener, address } = scene.service()?;
    let mut client = scene.connected(address)?;
    let mut server = End::new(actor, listener, address, scene.path.server_side());
    scene.wait_state(&server, &client, Some(State::Established))?;
    // The next descriptor to be had; from there on nothing is.
    let spare = server.actor.duplicate(listener)?;
    server.actor.close(spare)?;
    let before = server.actor.limit_descriptors(u64::try_from(spare.0)?)?;
    for attempt in 1..=TRIES {
        let errno = errno_of(server.actor.accept(listener))?;
        ensure!(errno == Errno::EMFILE, "accept {attempt} gave {errno:?}");
    }
    // The connection has waited in the queue all the time, and has come to no harm.
    server.actor.limit_descriptors(before)?;
    (server.fd, _) = server.actor.accept(listener)?;
    exchange(&mut client, &mut server)?;
    let ends = Ends { local: server, other: client, port: address.port() };
    Ok(ends.found_at_process(scene, PATTERN, Errno::EMFILE))
}
