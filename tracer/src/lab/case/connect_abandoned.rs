//! Nobody answers the client's SYNs, and the application gives up before the kernel does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::attempt::Attempt;
use super::scene::{ALL_FAMILIES, SOON, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::SocketOption;
use crate::lab::router::Action;

const PATTERN: &str = "connect_abandoned";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "retransmitted",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: abandoned,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "answered_late",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: answered_late,
    },
];

/// The client closes as soon as its SYN has been retransmitted, 1 s after the first.
fn abandoned(scene: &Scene<'_>) -> Result<Outcome> {
    let mut attempt = Attempt::prepare(scene)?;
    let (sender, retransmitted) = channel();
    let mut first = true;
    scene.router()?.set_rule(move |segment| {
        if segment.syn && !std::mem::take(&mut first) {
            // Nobody listens any more once the case has gone on.
            _ = sender.send(());
        }
        Action::Drop
    });
    attempt.client.set(attempt.fd, SocketOption::Nonblocking(true))?;
    let errno = attempt.connect()?;
    ensure!(errno == Errno::EINPROGRESS, "connect gave {errno:?}");
    retransmitted.recv_timeout(SOON).context("waiting for a second SYN")?;
    attempt.client.close(attempt.fd)?;
    Ok(attempt.found(scene, PATTERN, None))
}

/// No answer arrives before the client has closed; its host resets the next, for which it has no socket any more.
fn answered_late(scene: &Scene<'_>) -> Result<Outcome> {
    let mut attempt = Attempt::prepare(scene)?;
    attempt.prove_way(scene)?;
    let closed = Arc::new(AtomicBool::new(false));
    let (sender, reset) = channel();
    let late = Arc::clone(&closed);
    scene.router()?.set_rule(move |segment| {
        if segment.rst {
            // Nobody listens any more once the case has gone on.
            _ = sender.send((segment.source, segment.destination));
        }
        let early = segment.syn && segment.ack.is_some() && !late.load(Ordering::Relaxed);
        if early { Action::Drop } else { Action::Pass }
    });
    attempt.client.set(attempt.fd, SocketOption::Nonblocking(true))?;
    let errno = attempt.connect()?;
    ensure!(errno == Errno::EINPROGRESS, "connect gave {errno:?}");
    attempt.client.close(attempt.fd)?;
    closed.store(true, Ordering::Relaxed);
    let (client, service) = reset.recv_timeout(SOON).context("waiting for a RST")?;
    // The RST has only reached the router.
    scene.namespace(scene.path.server_side()).wait_state(service, client, None, SOON)?;
    Ok(attempt.found(scene, PATTERN, None))
}
