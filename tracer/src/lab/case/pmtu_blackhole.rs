//! The router drops what is large, and says nothing.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::router::Action;

const PATTERN: &str = "pmtu_blackhole";
/// Two full segments and a smaller one, in bytes.
const LARGE: usize = 3_000;
/// What the router lets pass.
const PASSES: u32 = 1_000;
/// So often it was sent again by a timer when it is told.
const TIMEOUTS: u8 = 3;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "silent_router",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: silent_router,
}];

fn silent_router(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends: Ends = scene.ends(Role::Client)?;
    scene.wait_acknowledged(&ends.other, &ends.local)?;
    scene.router()?.set_rule(|segment| if segment.payload > PASSES { Action::Drop } else { Action::Pass });
    ends.local.send(LARGE)?;
    scene.wait_retransmits(&ends.local, &ends.other, TIMEOUTS)?;
    Ok(ends.found_here_alone(scene, PATTERN, None, &[]))
}
