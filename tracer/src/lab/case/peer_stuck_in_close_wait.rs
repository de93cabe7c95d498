//! This end has closed and is left in `FIN_WAIT2`: the process at the other end never closes.

use anyhow::Result;

use super::close_wait_leak::park;
use super::scene::{ALL_FAMILIES, Role, Scene};
use super::{ANY, Case, Outcome};

const PATTERN: &str = "peer_stuck_in_close_wait";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "client_closed",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| stuck(scene, Role::Client),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "server_closed",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| stuck(scene, Role::Server),
    },
];

fn stuck(scene: &Scene<'_>, closer: Role) -> Result<Outcome> {
    let mut ends = scene.ends(closer)?;
    park(scene, &mut ends.other, &mut ends.local)?;
    Ok(ends.found(scene, PATTERN, None, &["close_wait_leak"]))
}
