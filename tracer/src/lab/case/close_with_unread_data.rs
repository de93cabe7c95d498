//! One end closes while data it has not read is waiting; the other waits for a reply.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, Scene};
use super::{ANY, Case, Outcome, WIRE};
use crate::lab::actor::errno_of;

const PATTERN: &str = "close_with_unread_data";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_closes",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, scene.ends(Role::Client)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "client_closes",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, scene.ends(Role::Server)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "through_dnat",
        media: WIRE,
        families: ALL_FAMILIES,
        play: |scene| play(scene, scene.translated_ends()?),
    },
];

fn play(scene: &Scene<'_>, mut ends: Ends) -> Result<Outcome> {
    ends.local.send(REQUEST)?;
    ends.other.wait_readable()?;
    let waiting = ends.local.waiting_recv()?;
    ends.other.close()?;
    let errno = errno_of(ends.local.actor.join(waiting))?;
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
