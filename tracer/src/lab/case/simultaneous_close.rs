//! Both ends close before either has seen the other's FIN: their FINs cross on the way.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::router::Action;

const PATTERN: &str = "simultaneous_close";

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "crossing",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: crossing,
}];

fn crossing(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { local: mut client, other: mut server, port } = scene.ends(Role::Client)?;
    let router = scene.router()?;
    router.set_rule(|_| Action::Hold);
    client.close()?;
    server.close()?;
    // No acknowledgement overtakes a FIN that is held: it would spare an end CLOSING.
    router.release();
    // Only FINs that crossed leave both ends in TIME_WAIT.
    scene.wait_state(&client, &server, Some(State::TimeWait))?;
    scene.wait_state(&server, &client, Some(State::TimeWait))?;
    Ok(Ends { local: client, other: server, port }.found(scene, PATTERN, None, &[]))
}
