//! A RST ends a connection while this end waits for data.

use anyhow::Result;
use tracer_common::State;

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

/// Something on the way sends the RST: the other end goes on and knows nothing.
fn forged(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let waiting = ends.local.waiting_recv()?;
    scene.router()?.reset(ends.local.address, ends.other.address)?;
    let errno = errno_of(ends.local.actor.join(waiting))?;
    scene.wait_state(&ends.local, &ends.other, None)?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    let mut outcome = ends.found(scene, PATTERN, Some(errno), &["forged_reset"]);
    // Nothing happened to the other end, so nothing is to be told of it.
    outcome.expected.iter_mut().for_each(|expected| expected.peer_pid = None);
    Ok(outcome)
}
