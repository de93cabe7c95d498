//! One end has closed for good; the other sees the end of the stream and writes all the same.

use anyhow::{Context, Result};
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Role, Scene};
use super::{ANY, Case, Outcome};
use crate::lab::actor::errno_of;

const PATTERN: &str = "fin_wait2_write_reset";
/// What the write that is answered by the RST takes.
const LATE: usize = 9;

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_closes_first",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Client, Learns::Send),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "client_closes_first",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Server, Learns::Send),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "told_by_so_error",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, Role::Client, Learns::SocketError),
    },
];

/// By which call the writer learns of the RST.
#[derive(Clone, Copy)]
enum Learns {
    /// The next `send`.
    Send,
    /// `getsockopt(SO_ERROR)`, as event loops ask.
    SocketError,
}

fn play(scene: &Scene<'_>, writer: Role, learns: Learns) -> Result<Outcome> {
    let mut ends = scene.ends(writer)?;
    ends.other.close()?;
    ends.local.wait_end_of_stream()?;
    ends.local.receive(0)?;
    scene.wait_state(&ends.other, &ends.local, Some(State::FinWait2))?;
    ends.local.send(LATE)?;
    ends.local.wait_dead()?;
    let (actor, fd) = (&mut ends.local.actor, ends.local.fd);
    let errno = match learns {
        Learns::Send => errno_of(actor.send(fd, LATE))?,
        Learns::SocketError => actor.take_error(fd)?.context("the socket has no error")?,
    };
    Ok(ends.found(scene, PATTERN, Some(errno), &["broken_pipe"]))
}
