//! A connection that never comes about: a service, and a client whose segments do not reach it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::scene::{Scene, Service};
use super::{Expected, Outcome};
use crate::lab::actor::{Actor, Domain, Events, Fd, SocketOption, errno_of};
use crate::lab::path::Side;

/// Longer than the kernel tries where a case has shortened that.
const GIVING_UP: Duration = Duration::from_secs(8);

/// A client's socket, and the service that it wants to reach.
pub(super) struct Attempt {
    pub(super) client: Actor,
    pub(super) fd: Fd,
    service: Service,
}

impl Attempt {
    /// Everything ready; the client has not called `connect`.
    pub(super) fn prepare(scene: &Scene<'_>) -> Result<Self> {
        let service = scene.service()?;
        let mut client = scene.client()?;
        let fd = client.socket(Domain::of(service.address))?;
        Ok(Self { client, fd, service })
    }

    /// Shows that segments pass both ways before the client has called `connect`.
    pub(super) fn prove_way(&mut self, scene: &Scene<'_>) -> Result<()> {
        scene.prove_way(&mut self.service)
    }

    /// How `connect` fails.
    pub(super) fn connect(&mut self) -> Result<Errno> {
        self.connect_to(self.service.address)
    }

    /// How `connect` to an address that is not the service's fails.
    pub(super) fn connect_to(&mut self, address: SocketAddr) -> Result<Errno> {
        errno_of(self.client.connect(self.fd, address))
    }

    /// The service's port, which nobody else has.
    pub(super) fn port(&self) -> u16 {
        self.service.address.port()
    }

    /// The service's address.
    pub(super) fn address(&self) -> SocketAddr {
        self.service.address
    }

    /// The service takes the connection that was made. It stays open, or is closed, by the client first, which keeps
    /// its port busy as well.
    pub(super) fn accept_and_forget(&mut self, closes: bool) -> Result<()> {
        let Service { actor, listener, .. } = &mut self.service;
        let (accepted, _) = actor.accept(*listener)?;
        if closes {
            self.client.close(self.fd)?;
            let end = actor.recv(accepted, 1)?;
            ensure!(end == 0, "the client sent something");
            actor.close(accepted)?;
        }
        Ok(())
    }

    /// How a `connect` fails that does not wait.
    pub(super) fn connect_in_background(&mut self) -> Result<Errno> {
        connect_in_background(&mut self.client, self.fd, self.service.address)
    }

    /// What has to be found at the client: the errno it got, or nothing when it has closed its socket.
    pub(super) fn found(self, scene: &Scene<'_>, pattern: &'static str, errno: Option<Errno>) -> Outcome {
        let Self { client, fd, service } = self;
        let port = service.address.port();
        let expected = Expected {
            pattern,
            port,
            netns: scene.namespace(Side::A).inode(),
            local_pid: Some(client.pid()),
            fd: errno.is_some().then_some(fd.0),
            peer_pid: None,
            peer_is_silent: false,
            errno: errno.map(|errno| format!("{errno:?}")),
            allowed: &[],
        };
        Outcome::of(Some(expected), port, vec![client, service.actor])
    }
}

/// Connects as event loops do: `connect` begins, `poll` tells the end, `SO_ERROR` how it was.
pub(super) fn connect_in_background(client: &mut Actor, fd: Fd, address: SocketAddr) -> Result<Errno> {
    client.set(fd, SocketOption::Nonblocking(true))?;
    let errno = errno_of(client.connect(fd, address))?;
    ensure!(errno == Errno::EINPROGRESS, "connect gave {errno:?}");
    let events = client.poll(fd, Events::EPOLLOUT, GIVING_UP)?;
    ensure!(events.contains(Events::EPOLLERR), "waited for a failure, {events:?} came");
    client.take_error(fd)?.context("the socket has no error")
}
