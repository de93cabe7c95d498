//! A RST ends a connection while this end waits for data.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Role, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::errno_of;

const PATTERN: &str = "connection_reset";

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "forged",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: forged,
}];

/// Something on the way sends the RST, as the other end would; of that nothing is left to be seen.
fn forged(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    scene.forget(&mut ends.other, &ends.local)?;
    let waiting = ends.local.waiting_recv()?;
    scene.router()?.reset(ends.local.address, ends.other.address)?;
    let errno = errno_of(ends.local.actor.join(waiting))?;
    scene.wait_state(&ends.local, &ends.other, None)?;
    Ok(ends.found_here_alone(scene, PATTERN, errno, &[]))
}
