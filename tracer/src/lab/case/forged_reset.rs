//! A RST in the peer's name ends a connection, and the peer has sent none.

use anyhow::Result;
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, Scene};
use super::{ANY, Case, Outcome, ROUTED};
use crate::lab::actor::errno_of;
use crate::lab::nft::Segments;
use crate::lab::router::{FAR, HOPS};

const PATTERN: &str = "forged_reset";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "other_distance",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| from_elsewhere(scene, Role::Client),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "other_distance_to_server",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| from_elsewhere(scene, Role::Server),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "peer_open",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: peer_open,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "own_firewall",
        media: ANY,
        families: ALL_FAMILIES,
        play: own_firewall,
    },
];

/// The router's RST comes from further away than the peer, of which nothing is left to be seen.
fn from_elsewhere(scene: &Scene<'_>, victim: Role) -> Result<Outcome> {
    let mut ends = scene.ends(victim)?;
    scene.forget(&mut ends.other, &ends.local)?;
    let errno = reset(scene, &mut ends, FAR)?;
    Ok(ends.found_here_alone(scene, PATTERN, errno, &["connection_reset"]))
}

/// The router's RST looks as the peer's would; but the peer is there, and open.
fn peer_open(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let errno = reset(scene, &mut ends, HOPS)?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    Ok(ends.found_here_alone(scene, PATTERN, errno, &["connection_reset"]))
}

fn reset(scene: &Scene<'_>, ends: &mut Ends, hops: u8) -> Result<Errno> {
    let waiting = ends.local.waiting_recv()?;
    scene.router()?.forge_reset(ends.local.address, ends.other.address, 0, hops)?;
    let errno = errno_of(ends.local.actor.join(waiting))?;
    scene.wait_state(&ends.local, &ends.other, None)?;
    Ok(errno)
}

/// A rule of the client's own host rejects what it sends.
fn own_firewall(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    scene.wait_acknowledged(&ends.other, &ends.local)?;
    scene.reject_to(ends.other.address, Segments::Data)?;
    ends.local.send(REQUEST)?;
    let errno = errno_of(ends.local.actor.recv(ends.local.fd, REQUEST))?;
    scene.wait_state(&ends.local, &ends.other, None)?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    Ok(ends.found_here_alone(scene, PATTERN, errno, &["connection_reset"]))
}
