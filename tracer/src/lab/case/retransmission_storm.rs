//! The router loses every twelfth request the first time.

use anyhow::Result;

use super::scene::{ALL_FAMILIES, Ends, Role, Scene, exchange};
use super::{Case, Outcome, ROUTED};
use crate::lab::router::Action;

const PATTERN: &str = "retransmission_storm";
/// One of so many is lost: 8 %.
const ONE_IN: usize = 12;
/// Each loss costs some 200 ms: together more than the two seconds over which the demo counts.
const LOSSES: usize = 14;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "one_in_twelve",
    media: ROUTED,
    families: ALL_FAMILIES,
    play: one_in_twelve,
}];

fn one_in_twelve(scene: &Scene<'_>) -> Result<Outcome> {
    let Ends { local: mut client, other: mut server, port } = scene.ends(Role::Client)?;
    let (mut newest, mut requests) = (None, 0);
    scene.router()?.set_rule(move |segment| {
        // Newer, as numbers that wrap compare.
        let first = newest.is_none_or(|newest: u32| segment.seq.wrapping_sub(newest) < 1 << 31);
        if segment.destination.port() != port || segment.payload == 0 || !first {
            return Action::Pass;
        }
        newest = Some(segment.next_seq());
        requests += 1;
        if requests % ONE_IN == 0 { Action::Drop } else { Action::Pass }
    });
    for _ in 0..ONE_IN * LOSSES {
        exchange(&mut client, &mut server)?;
    }
    Ok(Ends { local: client, other: server, port }.found_here_alone(scene, PATTERN, None, &[]))
}
