//! A process asks for a socket option in a way that the kernel refuses; its connection does not suffer.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};

use super::scene::{Ends, Role, Scene, exchange};
use super::{Case, Outcome};
use crate::lab::actor::{Call, CallError, Domain, SocketOption, errno_of};
use crate::lab::path::{Family, Medium};

const PATTERN: &str = "socket_option_error";
/// How many groups a socket can join: `net.ipv4.igmp_max_memberships` of a new namespace.
const GROUPS: u8 = 20;

const fn refused(variant: &'static str, play: fn(&Scene<'_>) -> Result<Outcome>) -> Case {
    Case {
        pattern: Some(PATTERN),
        variant,
        media: &[Medium::Loopback],
        families: &[Family::V4, Family::V6],
        play,
    }
}

pub(super) const CASES: &[Case] = &[
    refused("closed_descriptor", |scene| play(scene, |ends| call(ends, Call::SetOnClosed(ends.local.fd)))),
    refused("not_a_socket", |scene| play(scene, |ends| call(ends, Call::SetOnFile))),
    refused("unknown_option", |scene| play(scene, |ends| set(ends, SocketOption::Unknown))),
    refused("set_read_only", |scene| play(scene, |ends| set(ends, SocketOption::SocketType(2)))),
    refused("bad_value", |scene| play(scene, |ends| set(ends, SocketOption::KeepaliveIdle(0)))),
    refused("bad_time", |scene| {
        let second = SocketOption::ReceiveTimeout { seconds: 0, microseconds: 1_000_000 };
        play(scene, |ends| set(ends, second))
    }),
    refused("no_such_congestion", |scene| play(scene, |ends| set(ends, SocketOption::MissingCongestion))),
    refused("get_unknown_level", |scene| {
        play(scene, |ends| ends.local.actor.call::<i32>(Call::GetUnknownLevel(ends.local.fd)).map(drop))
    }),
    Case {
        pattern: Some(PATTERN),
        variant: "too_many_memberships",
        media: &[Medium::Wire],
        families: &[Family::V4],
        play: too_many_memberships,
    },
];

/// The client makes one call that fails, between two requests.
fn play(scene: &Scene<'_>, fail: impl FnOnce(&mut Ends) -> Result<(), CallError>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let errno = errno_of(fail(&mut ends))?;
    exchange(&mut ends.local, &mut ends.other)?;
    Ok(ends.found_at_process(scene, PATTERN, errno))
}

fn call(ends: &mut Ends, call: Call) -> Result<(), CallError> {
    ends.local.actor.call(call)
}

fn set(ends: &mut Ends, option: SocketOption) -> Result<(), CallError> {
    ends.local.actor.set(ends.local.fd, option)
}

/// A UDP socket of the client joins one multicast group more than it may.
fn too_many_memberships(scene: &Scene<'_>) -> Result<Outcome> {
    let mut ends = scene.ends(Role::Client)?;
    let IpAddr::V4(interface) = ends.local.address.ip() else { bail!("only IPv4 counts memberships") };
    let socket = ends.local.actor.call(Call::Datagram(Domain::V4))?;
    let join = |group| SocketOption::Membership { group: Ipv4Addr::new(239, 1, 1, group), interface };
    for group in 1..=GROUPS {
        ends.local.actor.set(socket, join(group))?;
    }
    let errno = errno_of(ends.local.actor.set(socket, join(GROUPS + 1)))?;
    Ok(ends.found_at_process(scene, PATTERN, errno))
}
