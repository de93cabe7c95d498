//! The path goes silent while nothing is on its way, and keepalive probes find out.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::{SocketOption, errno_of};

const PATTERN: &str = "keepalive_timeout";

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "idle", media: ROUTED, families: ALL_FAMILIES, play: idle }];

/// One probe after 1 s of silence, and the end 1 s later.
fn idle(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.cut_off(|client| {
        for option in [
            SocketOption::KeepaliveIdle(1),
            SocketOption::KeepaliveInterval(1),
            SocketOption::KeepaliveProbes(1),
            SocketOption::Keepalive(true),
        ] {
            client.actor.set(client.fd, option)?;
        }
        Ok(())
    })?;
    let errno = errno_of(ends.local.actor.recv(ends.local.fd, 1))?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    Ok(ends.found_here_alone(scene, PATTERN, errno, &[]))
}
