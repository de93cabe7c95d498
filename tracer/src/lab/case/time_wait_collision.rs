//! A client connects from a port whose last connection the server's host has in TIME_WAIT, with a lower sequence number.

use anyhow::Result;
use tracer_common::State;

use super::scene::{ALL_FAMILIES, End, Ends, Scene, exchange};
use super::{Case, Outcome, ROUTED};
use crate::lab::actor::{Domain, Fd, SocketOption};
use crate::lab::path::Side;

const PATTERN: &str = "time_wait_collision";
/// Where the first connection begins to count, and where the second one does.
const FIRST: u32 = 3_000_000_000;
const SECOND: u32 = 2_900_000_000;

pub(super) const CASES: &[Case] = &[Case {
    pattern: Some(PATTERN),
    variant: "lower_sequence",
    media: ROUTED,
    families: ALL_FAMILIES,
    play,
}];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    // A newer timestamp would be taken as a new connection at once.
    scene.set_client_sysctl("net.ipv4.tcp_timestamps", "0")?;
    let service = scene.service()?;
    let (mut actor, listener, address) = (service.actor, service.listener, service.address);
    let from = scene.path.address(Side::A, 0);
    let connect = |from, sequence| -> Result<End> {
        let mut client = scene.client()?;
        let fd = client.socket(Domain::of(address))?;
        client.set(fd, SocketOption::SendSequence(sequence))?;
        client.set(fd, SocketOption::ReuseAddress(true))?;
        client.bind(fd, from)?;
        client.connect(fd, address)?;
        let local = client.local_address(fd)?;
        Ok(End::new(client, fd, local, Side::A))
    };
    let mut old = connect(from, FIRST)?;
    let (fd, _): (Fd, _) = actor.accept(listener)?;
    let mut server = End::new(actor, fd, address, scene.path.server_side());
    exchange(&mut old, &mut server)?;
    server.close()?;
    old.wait_end_of_stream()?;
    old.receive(0)?;
    old.close()?;
    scene.wait_state(&server, &old, Some(State::TimeWait))?;
    scene.wait_state(&old, &server, None)?;
    let mut client = connect(old.address, SECOND)?;
    let (fd, _) = server.actor.accept(listener)?;
    let mut server = End::new(server.actor, fd, address, scene.path.server_side());
    exchange(&mut client, &mut server)?;
    let ends = Ends { local: client, other: server, port: address.port() };
    Ok(ends.found_here_alone(scene, PATTERN, None, &[]).beside(old.actor))
}
