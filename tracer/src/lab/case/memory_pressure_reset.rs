//! The host has room for no orphan: the kernel resets a connection that its process has closed and the peer has not read.
//!
//! The limit is the whole host's, so this is for a virtual machine.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::scene::{Ends, Scene};
use super::zero_window_stall::{fill, narrow_ends};
use super::{Case, Outcome, WIRE};
use crate::lab::path::Family;

const PATTERN: &str = "memory_pressure_reset";
/// How many orphans the host has room for.
const LIMIT: &str = "/proc/sys/net/ipv4/tcp_max_orphans";
/// What the receiver takes at a time.
const CHUNK: usize = 4_096;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "too_many_orphans",
    media: WIRE,
    families: &[Family::V4],
    play: too_many_orphans,
}];

/// `tcp_probe_timer()` asks for an orphan whether there are too many.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_timer.c#L380-L430>
fn too_many_orphans(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { local: mut sender, other: mut receiver, port } = narrow_ends(scene)?;
    fill(&mut sender)?;
    scene.wait_probing(&sender, &receiver)?;
    let limited = Limited::to_none()?;
    sender.close()?;
    receiver.wait_dead()?;
    drop(limited);
    let errno = loop {
        // What had come before is still there to be read.
        if let Err(error) = receiver.actor.recv(receiver.fd, CHUNK) {
            break error.errno().context("the receiver's call")?;
        }
    };
    Ok(Ends { local: receiver, other: sender, port }.found(scene, PATTERN, Some(errno), &[]))
}

/// The host's limit is lowered until this is dropped.
struct Limited {
    before: String,
}

impl Limited {
    fn to_none() -> Result<Self> {
        let path = Path::new(LIMIT);
        let before = fs::read_to_string(path).with_context(|| format!("reading {LIMIT}"))?;
        fs::write(path, "0").with_context(|| format!("writing {LIMIT}"))?;
        Ok(Self { before })
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Its host is a virtual machine that ends soon.
        let _ = fs::write(LIMIT, &self.before);
    }
}
