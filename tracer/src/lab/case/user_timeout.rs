//! The path goes silent while data is on its way, and the application's own limit ends the connection.

use anyhow::Result;

use super::retransmission_timeout::lose;
use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::SocketOption;

const PATTERN: &str = "user_timeout";
/// Milliseconds, with the kernel's own limit left at some 15 minutes.
const LIMIT: u32 = 1000;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "silence",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: silence,
}];

fn silence(scene: &Scene<'_>) -> Result<Outcome> {
    lose(scene, PATTERN, |client| Ok(client.actor.set(client.fd, SocketOption::UserTimeout(LIMIT))?))
}
