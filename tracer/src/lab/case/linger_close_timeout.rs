//! close() waits for an acknowledgement that does not come, for as long as SO_LINGER says.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::SocketOption;

const PATTERN: &str = "linger_close_timeout";
/// Seconds, the least there is.
const WAIT: u16 = 1;
/// What the client sends into the silence.
const LOST: usize = 100;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "silence",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: silence,
}];

fn silence(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends =
        scene.cut_off(|client| Ok(client.actor.set(client.fd, SocketOption::Linger(Some(WAIT)))?))?;
    ends.local.send(LOST)?;
    // It returns when the time is over.
    ends.local.close()?;
    scene.wait_state(&ends.local, &ends.other, Some(State::FinWait1))?;
    Ok(ends.found_here_alone(scene, PATTERN, None, &["stuck_closing"]))
}
