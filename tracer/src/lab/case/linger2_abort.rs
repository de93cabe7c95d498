//! One end closes with `TCP_LINGER2` below 0: a RST follows its FIN.

use anyhow::{Context, Result};
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, Scene};
use super::{ANY, Case, Outcome, WIRE};
use crate::lab::actor::{Direction, SocketOption, errno_of};

const PATTERN: &str = "linger2_abort";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_closes",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| closed(scene, scene.ends(Role::Client)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "client_closes",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| closed(scene, scene.ends(Role::Server)?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "through_dnat",
        media: WIRE,
        families: ALL_FAMILIES,
        play: |scene| closed(scene, scene.translated_ends()?),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "sending_had_ended",
        media: ANY,
        families: ALL_FAMILIES,
        play: sending_had_ended,
    },
];

/// The RST answers the acknowledgement of the FIN.
fn closed(scene: &Scene<'_>, mut ends: Ends) -> Result<Outcome> {
    ends.other.actor.set(ends.other.fd, SocketOption::Linger2(-1))?;
    ends.other.close()?;
    ends.local.wait_dead()?;
    // Reads still give the end of the stream.
    ends.local.receive(0)?;
    let errno = errno_of(ends.local.actor.send(ends.local.fd, REQUEST))?;
    Ok(ends.found(scene, PATTERN, Some(errno), &["broken_pipe"]))
}

/// The FIN was acknowledged long ago: close() itself sends the RST.
fn sending_had_ended(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    ends.other.actor.set(ends.other.fd, SocketOption::Linger2(-1))?;
    ends.other.actor.shutdown(ends.other.fd, Direction::Write)?;
    ends.local.wait_end_of_stream()?;
    scene.wait_state(&ends.other, &ends.local, Some(State::FinWait2))?;
    ends.other.close()?;
    ends.local.wait_dead()?;
    let errno = ends.local.actor.take_error(ends.local.fd)?.context("the socket has no error")?;
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
