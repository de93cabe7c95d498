//! A server does not accept, its queue is full, and clients knock in vain.

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::scene::{ALL_FAMILIES, SOON, Scene};
use super::{ANY, Case, Expected, Outcome};
use crate::lab::actor::{Domain, SocketOption, errno_of};

const PATTERN: &str = "accept_queue_overflow";
/// What the server gives `listen`; one more than this can wait.
const BACKLOG: u32 = 1;
/// Attempts whose first SYN is dropped, as all that their kernel sends after it.
const TURNED_AWAY: u32 = 2;

pub(super) const CASES: &[Case] =
    &[Case { pattern: Some(PATTERN), variant: "never_accepted", media: ANY, families: ALL_FAMILIES, play }];

fn play(scene: &Scene<'_>) -> Result<Outcome> {
    let (mut client, mut server) = (scene.client()?, scene.server()?);
    let (listener, address) = scene.bound(&mut server)?;
    server.listen(listener, i32::try_from(BACKLOG)?)?;
    let host = scene.namespace(scene.path.server_side());
    for _ in 0..=BACKLOG {
        let fd = client.socket(Domain::of(address))?;
        client.connect(fd, address)?;
    }
    // A client is connected before its last ACK has arrived.
    host.wait_full(address, SOON)?;
    for _ in 0..TURNED_AWAY {
        let fd = client.socket(Domain::of(address))?;
        client.set(fd, SocketOption::Nonblocking(true))?;
        let errno = errno_of(client.connect(fd, address))?;
        ensure!(errno == Errno::EINPROGRESS, "connect gave {errno:?}");
    }
    host.wait_drops(address, TURNED_AWAY, SOON)?;
    let expected = Expected {
        pattern: PATTERN,
        port: address.port(),
        netns: host.inode(),
        local_pid: Some(server.pid()),
        fd: Some(listener.0),
        peer_pid: None,
        peer_is_silent: false,
        errno: None,
        // How it ends for the clients: with the server or by themselves.
        allowed: &["connect_abandoned", "listener_closed_with_queue"],
    };
    Ok(Outcome::of(Some(expected), address.port(), vec![server, client]))
}
