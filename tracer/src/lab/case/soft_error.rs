//! A router says that the client's data does not arrive, and the connection lives on.

use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};

use super::scene::{ALL_FAMILIES, Ends, REQUEST, Role, SOON, Scene, exchange};
use super::{Case, Outcome, ROUTED};
use crate::lab::path::Family;
use crate::lab::router::Action;

const PATTERN: &str = "soft_error";
/// How often the same data is turned back before the path is well again.
const NOTICES: u32 = 3;

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "survives",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: survives,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "taken_by_so_error",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: taken,
    },
];

/// The application hears nothing of it: the reply only takes longer.
fn survives(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let _again = turn_back(scene, &ends, NOTICES)?;
    exchange(&mut ends.local, &mut ends.other)?;
    Ok(ends.found_here_alone(scene, PATTERN, None, &[]))
}

/// The application asks `SO_ERROR` while nothing gets through, and waits for the reply all the same.
fn taken(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let again = turn_back(scene, &ends, u32::MAX)?;
    ends.local.send(REQUEST)?;
    again.recv_timeout(SOON).context("waiting for a second transmission")?;
    let errno = ends.local.actor.take_error(ends.local.fd)?.context("no error was pending")?;
    scene.router()?.set_rule(|_| Action::Pass);
    ends.other.receive(REQUEST)?;
    ends.other.send(REQUEST)?;
    ends.local.receive(REQUEST)?;
    // What is retransmitted before and after tells of the notices, too.
    Ok(ends.found_here_alone(scene, PATTERN, errno, &[PATTERN]))
}

/// From now on the client's data is answered with "host unreachable", this often.
///
/// What comes back tells of each transmission after the first, whose notice has arrived by then.
fn turn_back(scene: &Scene<'_>, ends: &Ends, times: u32) -> Result<Receiver<()>> {
    let code = match scene.path.family {
        Family::V4 | Family::Mapped => 1,
        Family::V6 => 3,
    };
    let (sender, again) = channel();
    let (service, mut turned_back) = (ends.port, 0);
    scene.router()?.set_rule(move |segment| {
        if segment.destination.port() != service || segment.payload == 0 || turned_back == times {
            return Action::Pass;
        }
        if turned_back > 0 {
            // Nobody listens any more once the case has gone on.
            _ = sender.send(());
        }
        turned_back += 1;
        Action::Unreachable(code)
    });
    Ok(again)
}
