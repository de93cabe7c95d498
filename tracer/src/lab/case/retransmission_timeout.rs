//! The path goes silent while data is on its way, and the kernel gives up retransmitting.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::errno_of;

const PATTERN: &str = "retransmission_timeout";
/// What the client sends into the silence.
const LOST: usize = 100;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "silence",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: silence,
}];

/// 1 instead of 15: the end comes after about 1.7 s.
fn silence(scene: &Scene<'_>) -> Result<Outcome> {
    scene.set_client_sysctl("net.ipv4.tcp_retries2", "1")?;
    lose(scene, PATTERN, |_| Ok(()))
}

/// The client sends into the silence and waits for a reply, until its kernel says that there will be none.
pub(super) fn lose(
    scene: &Scene<'_>,
    pattern: &'static str,
    prepare: impl FnOnce(&mut End) -> Result<()>,
) -> Result<Outcome> {
    let mut ends = scene.cut_off(prepare)?;
    ends.local.send(LOST)?;
    let errno = errno_of(ends.local.actor.recv(ends.local.fd, LOST))?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    Ok(ends.found_here_alone(scene, pattern, errno, &[]))
}
