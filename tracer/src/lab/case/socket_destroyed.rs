//! An administrator kills a connection while both of its ends wait for data.

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::scene::{ALL_FAMILIES, Role, Scene};
use super::{ANY, Case, Outcome};
use crate::lab::actor::errno_of;

const PATTERN: &str = "socket_destroyed";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "client",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| killed(scene, Role::Client),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "server",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| killed(scene, Role::Server),
    },
];

fn killed(scene: &Scene<'_>, victim: Role) -> Result<Outcome> {
    let mut ends = scene.ends(victim)?;
    let (here, there) = (ends.local.waiting_recv()?, ends.other.waiting_recv()?);
    scene.destroy(&ends.local, &ends.other)?;
    let errno = errno_of(ends.local.actor.join(here))?;
    let other = errno_of(ends.other.actor.join(there))?;
    ensure!(other == Errno::ECONNRESET, "the other end got {other:?}");
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
