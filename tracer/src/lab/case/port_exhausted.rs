//! A client has used up the few ports that its host may choose from.

use anyhow::{Result, bail};
use nix::errno::Errno;

use super::attempt::Attempt;
use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::{Domain, errno_of};

const PATTERN: &str = "port_exhausted";

/// Four ports, which nobody else on this host uses.
const RANGE: &str = "50000 50003";
/// More attempts than there are ports.
const ATTEMPTS: usize = 8;

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "all_open",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| play(scene, false),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "all_in_time_wait",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| play(scene, true),
    },
];

/// Connects until that fails; every connection before stays open, or in `TIME_WAIT` at the client.
fn play(scene: &Scene<'_>, closes: bool) -> Result<Outcome> {
    scene.set_client_sysctl("net.ipv4.ip_local_port_range", RANGE)?;
    let mut attempt = Attempt::prepare(scene)?;
    for _ in 0..ATTEMPTS {
        match attempt.client.connect(attempt.fd, attempt.address()) {
            Ok(()) => attempt.accept_and_forget(closes)?,
            failed => {
                let errno = errno_of(failed)?;
                return Ok(attempt.found(scene, PATTERN, Some(errno)));
            }
        }
        attempt.fd = attempt.client.socket(Domain::of(attempt.address()))?;
    }
    bail!("{ATTEMPTS} connections, and never {:?}", Errno::EADDRNOTAVAIL)
}
