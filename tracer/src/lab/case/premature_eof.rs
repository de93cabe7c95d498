//! A server reads a request and ends the connection without an answer.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, REQUEST, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::Started;
use crate::lab::path::Side;

const PATTERN: &str = "premature_eof";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "server_closes",
        media: ANY,
        families: ALL_FAMILIES,
        play: server_closes,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "server_killed",
        media: ANY,
        families: ALL_FAMILIES,
        play: server_killed,
    },
];

/// The server lives on.
fn server_closes(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server, waiting) = asked(scene)?;
    server.close()?;
    let read = client.actor.join(waiting)?;
    ensure!(read == 0, "the client read {read} bytes");
    // Its acknowledgement of the FIN may be delayed.
    scene.wait_state(&server, &client, Some(State::FinWait2))?;
    client.close()?;
    let ends = Ends { port: server.address.port(), local: client, other: server };
    Ok(ends.found(scene, PATTERN, None, &[]))
}

/// With nothing unread, the death of the server looks like a close of its socket.
fn server_killed(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, server, waiting) = asked(scene)?;
    let (pid, port) = (server.actor.pid(), server.address.port());
    server.actor.kill(Signal::SIGKILL)?;
    let status = server.actor.wait()?;
    ensure!(status.signal() == Some(Signal::SIGKILL as i32), "the server ended with {status}");
    let read = client.actor.join(waiting)?;
    ensure!(read == 0, "the client read {read} bytes");
    client.close()?;
    let expected = Expected {
        pattern: PATTERN,
        port,
        netns: scene.namespace(Side::A).inode(),
        local_pid: Some(client.actor.pid()),
        fd: None,
        peer_pid: Some(pid),
        peer_is_silent: false,
        errno: None,
        allowed: &["process_died"],
    };
    let mut outcome = Outcome::of(Some(expected), port, vec![client.actor]);
    outcome.pids.push(pid);
    Ok(outcome)
}

/// A connection on which the server has read a request, and the client waits for the reply.
fn asked(scene: &Scene<'_>) -> Result<(End, End, Started<usize>)> {
    let (mut client, mut server) = scene.connection()?;
    client.send(REQUEST)?;
    let waiting = client.waiting_recv()?;
    server.receive(REQUEST)?;
    Ok((client, server, waiting))
}
