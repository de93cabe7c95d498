//! A connection that never comes about: a service, and a client whose segments do not reach it.

use anyhow::Result;
use nix::errno::Errno;

use super::scene::{Scene, Service};
use super::{Expected, Outcome};
use crate::lab::actor::{Actor, Domain, Fd, errno_of};
use crate::lab::path::Side;

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

    /// How `connect` fails.
    pub(super) fn connect(&mut self) -> Result<Errno> {
        errno_of(self.client.connect(self.fd, self.service.address))
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
            errno: errno.map(|errno| format!("{errno:?}")),
            allowed: &[],
        };
        Outcome::of(Some(expected), port, vec![client, service.actor])
    }
}
