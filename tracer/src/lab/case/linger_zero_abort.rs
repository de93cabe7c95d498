//! One end aborts with `SO_LINGER` of 0 s while the other waits for data.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene};
use super::{ANY, Case, Outcome, WIRE};
use crate::lab::actor::{SocketOption, errno_of};

const PATTERN: &str = "linger_zero_abort";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "client_waits",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| aborted(scene, scene.ends(Role::Client)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "server_waits",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| aborted(scene, scene.ends(Role::Server)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "through_dnat",
        media: WIRE,
        families: ALL_FAMILIES,
        play: |scene| aborted(scene, scene.translated_ends()?),
    },
];

fn aborted(scene: &Scene<'_>, mut ends: Ends) -> Result<Outcome> {
    let waiting = ends.local.waiting_recv()?;
    ends.other.actor.set(ends.other.fd, SocketOption::Linger(Some(0)))?;
    ends.other.close()?;
    let errno = errno_of(ends.local.actor.join(waiting))?;
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
