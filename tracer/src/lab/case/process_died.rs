//! A process dies with its connection open, with and without unread data.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::errno_of;

const PATTERN: &str = "process_died";

pub(super) const CASES: &[Case] = &[
    Case { pattern: Some(PATTERN), variant: "killed", media: ANY, families: ALL_FAMILIES, play: killed },
    Case { pattern: Some(PATTERN), variant: "crashed", media: ANY, families: ALL_FAMILIES, play: crashed },
    Case { pattern: Some(PATTERN), variant: "status", media: ANY, families: ALL_FAMILIES, play: status },
];

/// The server is killed while its client waits: the client reads end of file.
fn killed(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let waiting = ends.local.waiting_recv()?;
    let pid = ends.other.actor.pid();
    ends.other.actor.kill(Signal::SIGKILL)?;
    let Ends { mut local, other, port } = ends;
    let status = other.actor.wait()?;
    ensure!(status.signal() == Some(Signal::SIGKILL as i32), "the server ended with {status}");
    let read = local.actor.join(waiting)?;
    ensure!(read == 0, "the client read {read} bytes");
    local.close()?;
    Ok(of_the_dead(scene, pid, port, local))
}

/// The server ends with a status while its client waits.
fn status(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let waiting = ends.local.waiting_recv()?;
    let Ends { mut local, other, port } = ends;
    let pid = other.actor.pid();
    let status = other.actor.exit(3)?;
    ensure!(status.code() == Some(3), "the server ended with {status}");
    let read = local.actor.join(waiting)?;
    ensure!(read == 0, "the client read {read} bytes");
    local.close()?;
    Ok(of_the_dead(scene, pid, port, local))
}

/// The server aborts with a request unread: the client's finding names both.
fn crashed(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    ends.local.send(REQUEST)?;
    ends.other.wait_readable()?;
    let waiting = ends.local.waiting_recv()?;
    let Ends { mut local, other, port } = ends;
    let pid = other.actor.pid();
    let status = other.actor.abort()?;
    ensure!(status.signal() == Some(Signal::SIGABRT as i32), "the server ended with {status}");
    let errno = errno_of(local.actor.join(waiting))?;
    let expected = Expected {
        pattern: PATTERN,
        port,
        netns: scene.namespace(crate::lab::path::Side::A).inode(),
        local_pid: Some(local.actor.pid()),
        fd: Some(local.fd.0),
        peer_pid: Some(pid),
        peer_is_silent: false,
        errno: Some(format!("{errno:?}")),
        allowed: &[],
    };
    let mut outcome = Outcome::of(Some(expected), port, vec![local.actor]);
    outcome.pids.push(pid);
    Ok(outcome)
}

/// A finding about the server that is no more.
fn of_the_dead(scene: &Scene<'_>, pid: u32, port: u16, client: super::scene::End) -> Outcome {
    let expected = Expected {
        pattern: PATTERN,
        port,
        netns: scene.namespace(scene.path.server_side()).inode(),
        local_pid: Some(pid),
        fd: None,
        peer_pid: Some(client.actor.pid()),
        peer_is_silent: false,
        errno: None,
        allowed: &["premature_eof"],
    };
    let mut outcome = Outcome::of(Some(expected), port, vec![client.actor]);
    outcome.pids.push(pid);
    outcome
}
