//! RSTs come that do not fit, and the connection goes on.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Role, Scene, exchange};
use super::{Case, Outcome, ROUTED};
use crate::lab::router::FAR;

const PATTERN: &str = "reset_rejected";
/// How far the RSTs are from what is expected: inside the window, beyond it, and before it.
const DISTANCES: [i32; 3] = [100, 1 << 30, -5_000];

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "client",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| guessed(scene, Role::Client),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "server",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| guessed(scene, Role::Server),
    },
];

fn guessed(scene: &Scene<'_>, victim: Role) -> Result<Outcome> {
    let mut ends = scene.ends(victim)?;
    for distance in DISTANCES {
        scene.router()?.forge_reset(ends.local.address, ends.other.address, distance, FAR)?;
    }
    let (client, server) = match victim {
        Role::Client => (&mut ends.local, &mut ends.other),
        Role::Server => (&mut ends.other, &mut ends.local),
    };
    exchange(client, server)?;
    Ok(ends.found_here_alone(scene, PATTERN, None, &[]))
}
