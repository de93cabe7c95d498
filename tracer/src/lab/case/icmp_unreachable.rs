//! A router answers the client's SYN with an ICMP notice that it does not arrive.

use anyhow::{Context, Result};

use super::attempt::Attempt;
use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED};
use crate::lab::path::Family;
use crate::lab::router::Action;

const PATTERN: &str = "icmp_unreachable";

pub(super) const CASES: &[Case] = &[
    case("network", ALL_FAMILIES, |scene| answered(scene, 0, Some(0))),
    case("host", ALL_FAMILIES, |scene| answered(scene, 1, Some(3))),
    case("protocol", &[Family::V4, Family::Mapped], |scene| answered(scene, 2, None)),
    case("port", ALL_FAMILIES, |scene| answered(scene, 3, Some(4))),
    case("prohibited", ALL_FAMILIES, |scene| answered(scene, 13, Some(1))),
];

const fn case(
    variant: &'static str,
    families: &'static [Family],
    play: fn(&Scene<'_>) -> Result<Outcome>,
) -> Case {
    Case { pattern: Some(PATTERN), variant, media: ROUTED, families, play }
}

/// The codes of ICMP type 3 and of `ICMPv6` type 1 (RFC 792, RFC 1812, RFC 4443), the latter where there is one.
fn answered(scene: &Scene<'_>, v4: u8, v6: Option<u8>) -> Result<Outcome> {
    let code = match scene.path.family {
        Family::V4 | Family::Mapped => v4,
        Family::V6 => v6.context("ICMPv6 has no such notice")?,
    };
    let mut attempt = Attempt::prepare(scene)?;
    scene.router()?.set_rule(
        move |segment| {
            if segment.syn { Action::Unreachable(code) } else { Action::Pass }
        },
    );
    let errno = attempt.connect()?;
    Ok(attempt.found(scene, PATTERN, Some(errno)))
}
