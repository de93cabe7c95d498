//! One end has closed and the process at the other keeps its socket for as long as the case is held.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Role, Scene};
use super::{ANY, Case, Outcome};

const PATTERN: &str = "close_wait_leak";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_keeps",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| leak(scene, Role::Server),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "client_keeps",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| leak(scene, Role::Client),
    },
];

fn leak(scene: &Scene<'_>, keeper: Role) -> Result<Outcome> {
    let mut ends = scene.ends(keeper)?;
    park(scene, &mut ends.local, &mut ends.other)?;
    Ok(ends.found(scene, PATTERN, None, &["peer_stuck_in_close_wait"]))
}

/// Leaves `keeper` in `CLOSE_WAIT` and `closer` as an orphan in `FIN_WAIT2`.
pub(super) fn park(scene: &Scene<'_>, keeper: &mut End, closer: &mut End) -> Result<()> {
    closer.close()?;
    keeper.wait_end_of_stream()?;
    scene.wait_state(keeper, closer, Some(State::CloseWait))?;
    scene.wait_state(closer, keeper, Some(State::FinWait2))
}
