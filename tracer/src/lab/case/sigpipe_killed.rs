//! A client dies, the server writes twice, and the server is gone.

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Call, Fd, errno_of};

const PATTERN: &str = "sigpipe_killed";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "second_write",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, |fd| Call::Send { fd, bytes: REQUEST, no_signal: false }),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "sendfile",
        media: ANY,
        families: ALL_FAMILIES,
        play: |scene| play(scene, |fd| Call::SendFile { fd, bytes: REQUEST }),
    },
];

/// `last` is the call that the server does not survive.
fn play(scene: &Scene<'_>, last: fn(Fd) -> Call) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Server)?;
    ends.local.actor.default_sigpipe()?;
    // A reply that the client has not read makes its death a RST.
    ends.local.send(REQUEST)?;
    ends.other.wait_readable()?;
    let client = ends.other.actor.pid();
    ends.other.actor.kill(Signal::SIGKILL)?;
    let Ends { mut local, other, port } = ends;
    other.actor.wait()?;
    local.wait_dead()?;
    let first = errno_of(local.actor.send(local.fd, REQUEST))?;
    ensure!(first == Errno::ECONNRESET, "the first write gave {first:?}");
    let server = local.actor.pid();
    local.actor.call_and_die(last(local.fd))?;
    let status = local.actor.wait()?;
    ensure!(status.signal() == Some(Signal::SIGPIPE as i32), "the server ended with {status}");
    let expected = Expected {
        pattern: PATTERN,
        port,
        netns: scene.namespace(scene.path.server_side()).inode(),
        local_pid: Some(server),
        fd: None,
        peer_pid: Some(client),
        peer_is_silent: false,
        // SIGPIPE comes with this errno, which the process did not live to see.
        errno: Some(format!("{:?}", Errno::EPIPE)),
        allowed: &["broken_pipe", "process_died"],
    };
    let mut outcome = Outcome::of(Some(expected), port, vec![]);
    outcome.pids.extend([server, client]);
    Ok(outcome)
}
