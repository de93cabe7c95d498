//! One end shuts both directions down and keeps its socket; the other writes.

use anyhow::{Context, Result};
use tracer_common::State;

use super::scene::{ALL_FAMILIES, REQUEST, Role, Scene};
use super::{ANY, Case, Outcome};
use crate::lab::actor::{Direction, errno_of};

const PATTERN: &str = "shutdown_self_reset";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_shuts_down",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Server, Learns::Receive),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "client_shuts_down",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Client, Learns::Receive),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "told_by_so_error",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Server, Learns::SocketError),
    },
];

/// By which call the end that shut down learns that it was reset.
#[derive(Clone, Copy)]
enum Learns {
    /// `recv`, which gave end of file until then.
    Receive,
    /// `getsockopt(SO_ERROR)`, as event loops ask.
    SocketError,
}

fn play(scene: &Scene<'_>, shuts: Role, learns: Learns) -> Result<Outcome> {
    let mut ends = scene.ends(shuts)?;
    ends.local.actor.shutdown(ends.local.fd, Direction::Both)?;
    ends.other.wait_end_of_stream()?;
    ends.other.receive(0)?;
    scene.wait_state(&ends.local, &ends.other, Some(State::FinWait2))?;
    ends.local.receive(0)?;
    ends.other.send(REQUEST)?;
    // The RST that tells the writer leaves after the other socket was reset.
    ends.other.wait_dead()?;
    let (actor, fd) = (&mut ends.local.actor, ends.local.fd);
    let errno = match learns {
        Learns::Receive => errno_of(actor.recv(fd, 1))?,
        Learns::SocketError => actor.take_error(fd)?.context("the socket has no error")?,
    };
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
