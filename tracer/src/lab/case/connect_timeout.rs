//! Nobody answers the client's SYNs, and the kernel gives up.

use anyhow::Result;
use nix::errno::Errno;

use super::attempt::Attempt;
use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::path::Side;
use crate::lab::router::Action;

const PATTERN: &str = "connect_timeout";
/// Since 6.5: retransmissions that do not count against `tcp_syn_retries`.
const LINEAR_TIMEOUTS: &str = "net.ipv4.tcp_syn_linear_timeouts";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "dropped",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| dropped(scene, Attempt::connect),
    },
    Case {
        pattern: Some(PATTERN),
        variant: "nonblocking",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: |scene| dropped(scene, Attempt::connect_in_background),
    },
];

/// One retransmission after 1 s, and the end 2 s later.
fn dropped(scene: &Scene<'_>, connect: fn(&mut Attempt) -> Result<Errno>) -> Result<Outcome> {
    scene.set_client_sysctl("net.ipv4.tcp_syn_retries", "1")?;
    if scene.namespace(Side::A).has_sysctl(LINEAR_TIMEOUTS)? {
        scene.set_client_sysctl(LINEAR_TIMEOUTS, "0")?;
    }
    let mut attempt = Attempt::prepare(scene)?;
    scene.router()?.set_rule(|_| Action::Drop);
    let errno = connect(&mut attempt)?;
    Ok(attempt.found(scene, PATTERN, Some(errno)))
}
