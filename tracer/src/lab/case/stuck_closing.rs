//! The path goes silent, and the client closes: what it sends last is never acknowledged.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::router::Action;

const PATTERN: &str = "stuck_closing";
/// What the client sends into the silence.
const LOST: usize = 100;
/// After that many retransmissions more than a second has passed …
const LONG: u8 = 3;
/// … and with this `tcp_orphan_retries` the kernel does not give up yet.
const PATIENT: &str = "4";

pub(super) const CASES: &[Case] = &[
    Case {
        pattern: Some(PATTERN),
        variant: "data_on_its_way",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: data_on_its_way,
    },
    Case {
        pattern: Some(PATTERN),
        variant: "only_the_fin",
        media: ROUTED,
        families: ALL_FAMILIES,
        play: only_the_fin,
    },
];

fn data_on_its_way(scene: &Scene<'_>) -> Result<Outcome> {
    scene.set_client_sysctl("net.ipv4.tcp_orphan_retries", PATIENT)?;
    let mut ends = scene.cut_off(|_| Ok(()))?;
    ends.local.send(LOST)?;
    ends.local.close()?;
    scene.wait_retransmits(&ends.local, &ends.other, LONG)?;
    scene.wait_state(&ends.other, &ends.local, Some(State::Established))?;
    Ok(ends.found_here_alone(scene, PATTERN, None, &[]))
}

/// The server has closed before; the client's answer to that does not arrive, and its kernel gives up.
fn only_the_fin(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { local: mut client, other: mut server, port } = scene.ends(Role::Client)?;
    server.close()?;
    client.wait_end_of_stream()?;
    scene.wait_state(&server, &client, Some(State::FinWait2))?;
    scene.router()?.set_rule(|_| Action::Drop);
    client.close()?;
    scene.wait_state(&client, &server, None)?;
    // What is left of the server's end is over for the tracer: the FIN that ends it has been sent.
    Ok(Ends { local: client, other: server, port }.found_here_alone(scene, PATTERN, None, &[]))
}
