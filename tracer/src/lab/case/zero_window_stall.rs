//! The receiver does not read and the sender may not send; the probes of the window are answered or are not.

use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, SOON, Scene, exchange};
use super::{Case, Outcome, ROUTED, WIRE};
use crate::lab::actor::{SocketOption, errno_of};
use crate::lab::router::Action;

const PATTERN: &str = "zero_window_stall";
/// `SO_RCVBUF` in bytes.
const RECEIVE_BUFFER: usize = 8192;
/// `SO_SNDBUF` in bytes: more than the receiver has room for.
const SEND_BUFFER: usize = 65_536;
/// What the sender offers at a time.
const CHUNK: usize = 4096;

pub(super) const CASES: &[Case] = &[
    Case { pattern: Some(PATTERN), variant: "alive", media: WIRE, families: ALL_FAMILIES, play: alive },
    Case { pattern: Some(PATTERN), variant: "death", media: ROUTED, families: ALL_FAMILIES, play: death },
];

/// The receiver's kernel answers every probe: there is still no room.
fn alive(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { mut local, other, port } = narrow_ends(scene)?;
    fill(&mut local)?;
    scene.wait_probing(&local, &other)?;
    // What the last acknowledgement has made room for.
    fill(&mut local)?;
    let ends = Ends { local, other, port };
    // The receiver ends with data that it has not read.
    Ok(ends.found_here_alone(scene, PATTERN, None, &["close_with_unread_data"]))
}

/// Two probes instead of 15: the end comes about 1.4 s after the window has closed.
fn death(scene: &Scene<'_>) -> Result<Outcome> {
    scene.set_client_sysctl("net.ipv4.tcp_retries2", "2")?;
    let Ends { local: mut sender, other: receiver, port } = narrow_ends(scene)?;
    let closed = cut_at_zero_window(scene, port)?;
    fill(&mut sender)?;
    closed.recv_timeout(SOON).context("waiting for a window of 0")?;
    scene.wait_probing(&sender, &receiver)?;
    // What the last acknowledgement has made room for.
    fill(&mut sender)?;
    let errno = errno_of(sender.actor.send(sender.fd, CHUNK))?;
    scene.wait_state(&receiver, &sender, Some(State::Established))?;
    let ends = Ends { local: sender, other: receiver, port };
    // The receiver ends with data that it has not read.
    Ok(ends.found_here_alone(scene, PATTERN, errno, &["close_with_unread_data"]))
}

/// A used connection whose receiver has little room, seen from the sender, which can hold more.
pub(super) fn narrow_ends(scene: &Scene<'_>) -> Result<Ends> {
    let mut service = scene.service()?;
    let port = service.address.port();
    // Connections inherit it, and so never offer more.
    service.actor.set(service.listener, SocketOption::ReceiveBuffer(RECEIVE_BUFFER))?;
    let (mut sender, mut receiver) = scene.connection_to(service)?;
    exchange(&mut sender, &mut receiver)?;
    sender.actor.set(sender.fd, SocketOption::SendBuffer(SEND_BUFFER))?;
    Ok(Ends { local: sender, other: receiver, port })
}

/// From now on everything passes up to the acknowledgement that leaves nothing in flight and no window; that is told.
fn cut_at_zero_window(scene: &Scene<'_>, service: u16) -> Result<Receiver<()>> {
    let (sender, closed) = channel();
    let (mut sent, mut cut) = (None, false);
    scene.router()?.set_rule(move |segment| {
        if cut {
            return Action::Drop;
        }
        if segment.destination.port() == service {
            let next = segment.next_seq();
            // Newer, as numbers that wrap compare.
            if segment.payload > 0 && sent.is_none_or(|sent: u32| next.wrapping_sub(sent) < 1 << 31) {
                sent = Some(next);
            }
        } else if segment.window == 0 && sent.is_some() && segment.ack == sent {
            cut = true;
            // Nobody listens any more when the case has failed.
            _ = sender.send(());
        }
        Action::Pass
    });
    Ok(closed)
}

/// Sends until nothing is taken any more.
pub(super) fn fill(end: &mut End) -> Result<()> {
    end.actor.set(end.fd, SocketOption::Nonblocking(true))?;
    let errno = loop {
        if let Err(error) = end.actor.send(end.fd, CHUNK) {
            break errno_of::<usize>(Err(error))?;
        }
    };
    ensure!(errno == Errno::EAGAIN, "sending ended with {errno:?}");
    Ok(end.actor.set(end.fd, SocketOption::Nonblocking(false))?)
}
