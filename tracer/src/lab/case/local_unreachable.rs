//! The client's own host knows no way to the destination, or does not let its segments out.

use anyhow::{Context, Result};
use netlink_packet_route::route::RouteType;

use super::attempt::Attempt;
use super::scene::{ALL_FAMILIES, Scene};
use super::{Case, Outcome, ROUTED, WIRE};
use crate::lab::link::Links;
use crate::lab::nft;
use crate::lab::path::{Medium, Side};

const PATTERN: &str = "local_unreachable";

/// The last byte of foreign addresses, one for each route.
const NO_ROUTE: u8 = 1;
const UNREACHABLE: u8 = 2;
const PROHIBITED: u8 = 3;
const BLACKHOLE: u8 = 4;

pub(super) const CASES: &[Case] = &[
    case("no_route", WIRE, no_route),
    case("unreachable_route", WIRE, |scene| refused(scene, UNREACHABLE, RouteType::Unreachable)),
    case("prohibit_route", WIRE, |scene| refused(scene, PROHIBITED, RouteType::Prohibit)),
    case("blackhole_route", WIRE, |scene| refused(scene, BLACKHOLE, RouteType::BlackHole)),
    case("silent_neighbour", WIRE, silent_neighbour),
    case("own_firewall", ROUTED, own_firewall),
];

const fn case(
    variant: &'static str,
    media: &'static [Medium],
    play: fn(&Scene<'_>) -> Result<Outcome>,
) -> Case {
    Case { pattern: Some(PATTERN), variant, media, families: ALL_FAMILIES, play }
}

/// The host has a route to its neighbour and to nobody else.
fn no_route(scene: &Scene<'_>) -> Result<Outcome> {
    let mut attempt = Attempt::prepare(scene)?;
    let errno = attempt.connect_to(scene.path.foreign_address(NO_ROUTE, attempt.port()))?;
    Ok(attempt.found(scene, PATTERN, Some(errno)))
}

/// The host has a route that says no.
fn refused(scene: &Scene<'_>, host: u8, kind: RouteType) -> Result<Outcome> {
    let mut attempt = Attempt::prepare(scene)?;
    let address = scene.path.foreign_address(host, attempt.port());
    Links::open(scene.namespace(Side::A))?.refuse(address.ip().to_canonical(), kind)?;
    let errno = attempt.connect_to(address)?;
    Ok(attempt.found(scene, PATTERN, Some(errno)))
}

/// Nobody says that the address is theirs: the end comes after three questions, one a second.
fn silent_neighbour(scene: &Scene<'_>) -> Result<Outcome> {
    let mut attempt = Attempt::prepare(scene)?;
    let address = scene.path.silent_address(attempt.port()).context("a loopback has no neighbours")?;
    let errno = attempt.connect_to(address)?;
    Ok(attempt.found(scene, PATTERN, Some(errno)))
}

/// No SYN gets past the host's own packet filter.
fn own_firewall(scene: &Scene<'_>) -> Result<Outcome> {
    scene.give_up_connecting_soon()?;
    let mut attempt = Attempt::prepare(scene)?;
    nft::drop_output(scene.namespace(Side::A))?;
    let errno = attempt.connect()?;
    let mut outcome = attempt.found(scene, PATTERN, Some(errno));
    // No SYN was answered, after all.
    outcome.expected.iter_mut().for_each(|expected| expected.allowed = &["connect_timeout"]);
    Ok(outcome)
}
