//! A process writes on, with SIGPIPE ignored, where nothing can be sent any more.

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::scene::{ALL_FAMILIES, REQUEST, Role, Scene};
use super::{ANY, Case, Outcome};
use crate::lab::actor::{Call, Direction, Fd, SocketOption, errno_of};

const PATTERN: &str = "broken_pipe";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "after_reset",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| after_reset(scene, |fd| Call::Send { fd, bytes: REQUEST, no_signal: true }),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "ignored",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| after_reset(scene, |fd| Call::Send { fd, bytes: REQUEST, no_signal: false }),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "sendfile",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| after_reset(scene, |fd| Call::SendFile { fd, bytes: REQUEST }),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "splice",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| after_reset(scene, |fd| Call::Splice { fd, bytes: REQUEST }),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "own_shutdown",
        media: ANY,
        families: ALL_FAMILIES,
        play: own_shutdown,
    },
];

/// The first write after a RST gives ECONNRESET, the second EPIPE, whichever call it is.
fn after_reset(scene: &Scene<'_>, second: fn(Fd) -> Call) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    ends.other.actor.set(ends.other.fd, SocketOption::Linger(Some(0)))?;
    ends.other.close()?;
    ends.local.wait_dead()?;
    let first = errno_of(ends.local.actor.send(ends.local.fd, REQUEST))?;
    ensure!(first == Errno::ECONNRESET, "the first write gave {first:?}");
    let second = errno_of(ends.local.actor.call::<usize>(second(ends.local.fd)))?;
    Ok(ends.found(scene, PATTERN, Some(second), &["linger_zero_abort"]))
}

/// The process has said that it sends no more; the other end still reads.
fn own_shutdown(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    ends.local.actor.shutdown(ends.local.fd, Direction::Write)?;
    ends.other.wait_end_of_stream()?;
    let errno = errno_of(ends.local.actor.send(ends.local.fd, REQUEST))?;
    ends.other.close()?;
    ends.local.receive(0)?;
    Ok(ends.found(scene, PATTERN, Some(errno), &[]))
}
