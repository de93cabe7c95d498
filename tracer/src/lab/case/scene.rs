//! What the cases have in common: a client, a server, and a connection between them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use tracer_common::State;

use super::{Expected, Outcome};
use crate::lab::actor::{Actor, Call, Domain, Events, Fd, SocketOption, Started};
use crate::lab::namespace::Namespace;
use crate::lab::nft::{self, Segments};
use crate::lab::path::{Family, Medium, Path, Side};
use crate::lab::router::{Action, Router};
use crate::lab::world::World;

/// What the kernel does by itself takes microseconds; a case that waits longer is broken.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// Sizes that tell requests and replies apart.
pub(super) const REQUEST: usize = 10;
/// The sequence number of a SYN that nobody sent.
pub(super) const FORGED_SEQ: u32 = 1_000;
const REPLY: usize = 20;

pub(super) const ALL_FAMILIES: &[Family] = &[Family::V4, Family::V6, Family::Mapped];

/// Since 6.5: retransmissions that do not count against `tcp_syn_retries`.
const LINEAR_TIMEOUTS: &str = "net.ipv4.tcp_syn_linear_timeouts";

/// Where a case plays.
pub(super) struct Scene<'a> {
    world: &'a World,
    pub(super) path: Path,
}

/// One end of a connection: a process, its descriptor, and its address.
pub(super) struct End {
    pub(super) actor: Actor,
    pub(super) fd: Fd,
    pub(super) address: SocketAddr,
    side: Side,
    /// Whether `fd` is still open.
    open: bool,
}

/// Which of the two a case is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// The ends of a connection, seen from the one that the finding is about.
pub(super) struct Ends {
    pub(super) local: End,
    pub(super) other: End,
    /// The service's port.
    pub(super) port: u16,
}

/// A server that listens.
pub(super) struct Service {
    pub(super) actor: Actor,
    pub(super) listener: Fd,
    pub(super) address: SocketAddr,
}

impl<'a> Scene<'a> {
    pub(super) fn new(world: &'a World, path: Path) -> Self {
        Self { world, path }
    }

    pub(super) fn client(&self) -> Result<Actor> {
        self.world.actor(Side::A, "lab-client")
    }

    pub(super) fn server(&self) -> Result<Actor> {
        self.world.actor(self.path.server_side(), "lab-server")
    }

    pub(super) fn world(&self) -> &'a World {
        self.world
    }

    pub(super) fn router(&self) -> Result<&Router> {
        self.world.router()
    }

    pub(super) fn namespace(&self, side: Side) -> &Namespace {
        self.world.namespace(side)
    }

    /// A socket of `actor` bound to a free port on the server's host, and its address.
    pub(super) fn bound(&self, actor: &mut Actor) -> Result<(Fd, SocketAddr)> {
        let address = self.path.address(self.path.server_side(), 0);
        let fd = actor.socket(Domain::of(address))?;
        actor.bind(fd, address)?;
        Ok((fd, actor.local_address(fd)?))
    }

    /// A server that listens on a free port.
    pub(super) fn service(&self) -> Result<Service> {
        let mut actor = self.server()?;
        let (listener, address) = self.bound(&mut actor)?;
        actor.listen(listener, 16)?;
        Ok(Service { actor, listener, address })
    }

    /// Shows by an ordinary connection that segments pass both ways: a forged one is not sent again when its link was
    /// not ready.
    pub(super) fn prove_way(&self, service: &mut Service) -> Result<()> {
        let mut client = self.connected(service.address)?;
        let (fd, _) = service.actor.accept(service.listener)?;
        client.close()?;
        let end = service.actor.recv(fd, 1)?;
        ensure!(end == 0, "the client sent something");
        Ok(service.actor.close(fd)?)
    }

    /// A new client, connected to the service.
    pub(super) fn connected(&self, address: SocketAddr) -> Result<End> {
        let mut actor = self.client()?;
        let fd = actor.socket(Domain::of(address))?;
        actor.connect(fd, address)?;
        let address = actor.local_address(fd)?;
        Ok(End::new(actor, fd, address, Side::A))
    }

    /// A client and a server with an accepted connection between them.
    pub(super) fn connection(&self) -> Result<(End, End)> {
        self.connection_to(self.service()?)
    }

    /// A new client and the service with an accepted connection between them.
    pub(super) fn connection_to(&self, service: Service) -> Result<(End, End)> {
        let Service { mut actor, listener, address } = service;
        let client = self.connected(address)?;
        let (fd, _) = actor.accept(listener)?;
        Ok((client, End::new(actor, fd, address, self.path.server_side())))
    }

    /// A connection on which a request was answered.
    pub(super) fn used_connection(&self) -> Result<(End, End)> {
        let (mut client, mut server) = self.connection()?;
        exchange(&mut client, &mut server)?;
        Ok((client, server))
    }

    /// A connection on which a request was answered, seen from `local`.
    pub(super) fn ends(&self, local: Role) -> Result<Ends> {
        let (client, server) = self.used_connection()?;
        let port = server.address.port();
        Ok(match local {
            Role::Client => Ends { local: client, other: server, port },
            Role::Server => Ends { local: server, other: client, port },
        })
    }

    /// A used connection that the client's host translates, seen from the client: the address that the client
    /// asked for is not the one that the server sees.
    pub(super) fn translated_ends(&self) -> Result<Ends> {
        let Service { mut actor, listener, address } = self.service()?;
        let port = address.port();
        let asked = self.path.virtual_address(port).context("a loopback has no address to translate")?;
        nft::translate(self.namespace(Side::A), asked, address.ip())?;
        let mut client = self.connected(asked)?;
        let (fd, _) = actor.accept(listener)?;
        let mut server = End::new(actor, fd, address, self.path.server_side());
        exchange(&mut client, &mut server)?;
        Ok(Ends { local: client, other: server, port })
    }

    /// A used connection on which nothing is on its way and from now on nothing passes, seen from the client.
    ///
    /// `prepare` is done to the client before that.
    pub(super) fn cut_off(&self, prepare: impl FnOnce(&mut End) -> Result<()>) -> Result<Ends> {
        let mut ends = self.ends(Role::Client)?;
        self.wait_acknowledged(&ends.other, &ends.local)?;
        prepare(&mut ends.local)?;
        self.router()?.set_rule(|_| Action::Drop);
        Ok(ends)
    }

    /// Changes a network sysctl of the client's host, which on a routed path is the case's own.
    pub(super) fn set_client_sysctl(&self, name: &str, value: &str) -> Result<()> {
        ensure!(self.path.medium == Medium::Routed, "other cases share this world");
        self.namespace(Side::A).set_sysctl(name, value)
    }

    /// Makes the client's kernel give up an unanswered SYN after one retransmission, some 3 s after the first.
    pub(super) fn give_up_connecting_soon(&self) -> Result<()> {
        self.set_client_sysctl("net.ipv4.tcp_syn_retries", "1")?;
        if self.namespace(Side::A).has_sysctl(LINEAR_TIMEOUTS)? {
            self.set_client_sysctl(LINEAR_TIMEOUTS, "0")?;
        }
        Ok(())
    }

    /// Waits until all that `end` has sent is acknowledged by `other`.
    pub(super) fn wait_acknowledged(&self, end: &End, other: &End) -> Result<()> {
        self.namespace(end.side).wait_acknowledged(end.address, other.address, SOON)
    }

    /// Waits until `end` probes the window of `other`, with nothing in flight.
    pub(super) fn wait_probing(&self, end: &End, other: &End) -> Result<()> {
        self.namespace(end.side).wait_probing(end.address, other.address, SOON)
    }

    /// Waits until `end` has sent the same to `other` again so often in vain.
    pub(super) fn wait_retransmits(&self, end: &End, other: &End, times: u8) -> Result<()> {
        self.namespace(end.side).wait_retransmits(end.address, other.address, times, SOON)
    }

    /// Makes the host of `end` forget its connection to `other` without a word, with nothing on its way.
    pub(super) fn forget(&self, end: &mut End, other: &End) -> Result<()> {
        // Otherwise a late acknowledgement would be what meets nobody.
        self.wait_acknowledged(end, other)?;
        self.wait_acknowledged(other, end)?;
        end.actor.set(end.fd, SocketOption::Repair(true))?;
        end.close()?;
        self.wait_state(end, other, None)
    }

    /// From now on the client's own firewall rejects such segments to `address`, in the name of who is there.
    pub(super) fn reject_to(&self, address: SocketAddr, segments: Segments) -> Result<()> {
        nft::reject(self.namespace(Side::A), address, segments)
    }

    /// Kills the socket of `end` towards `other` as an administrator does.
    pub(super) fn destroy(&self, end: &End, other: &End) -> Result<()> {
        self.namespace(end.side).destroy(end.address, other.address)
    }

    /// Waits until the socket of `end` towards `other` is in this state; `None`: is gone.
    pub(super) fn wait_state(&self, end: &End, other: &End, state: Option<State>) -> Result<()> {
        self.namespace(end.side).wait_state(end.address, other.address, state, SOON)
    }
}

impl End {
    pub(super) fn new(actor: Actor, fd: Fd, address: SocketAddr, side: Side) -> Self {
        Self { actor, fd, address, side, open: true }
    }

    /// Waits for the other end's FIN.
    pub(super) fn wait_end_of_stream(&mut self) -> Result<()> {
        let events = self.actor.poll(self.fd, Events::EPOLLRDHUP, SOON)?;
        ensure!(events == Events::EPOLLRDHUP, "waited for the end of the stream, {events:?} came");
        Ok(())
    }

    /// Waits for data.
    pub(super) fn wait_readable(&mut self) -> Result<()> {
        let events = self.actor.poll(self.fd, Events::EPOLLIN, SOON)?;
        ensure!(events == Events::EPOLLIN, "waited for data, {events:?} came");
        Ok(())
    }

    /// Waits until the connection is dead.
    pub(super) fn wait_dead(&mut self) -> Result<()> {
        let events = self.actor.poll(self.fd, Events::empty(), SOON)?;
        ensure!(events.contains(Events::EPOLLERR | Events::EPOLLHUP), "waited for a reset, {events:?} came");
        Ok(())
    }

    /// A `recv` that is in progress when this returns.
    pub(super) fn waiting_recv(&mut self) -> Result<Started<usize>> {
        let call = Call::Recv { fd: self.fd, bytes: REPLY, peek: false, dont_wait: false };
        let started = self.actor.start(call)?;
        self.actor.wait_blocked(&started)?;
        Ok(started)
    }

    pub(super) fn send(&mut self, bytes: usize) -> Result<()> {
        let sent = self.actor.send(self.fd, bytes)?;
        ensure!(sent == bytes, "{sent} of {bytes} bytes were taken");
        Ok(())
    }

    /// Receives exactly this many bytes in one call; 0 is the end of the stream.
    pub(super) fn receive(&mut self, bytes: usize) -> Result<()> {
        let received = self.actor.recv(self.fd, bytes.max(1))?;
        ensure!(received == bytes, "{received} bytes came instead of {bytes}");
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        self.open = false;
        Ok(self.actor.close(self.fd)?)
    }
}

impl Ends {
    /// What has to be found at the local end, whose calls gave `errno`.
    pub(super) fn found(
        self,
        scene: &Scene<'_>,
        pattern: &'static str,
        errno: Option<Errno>,
        allowed: &'static [&'static str],
    ) -> Outcome {
        let Self { local, other, port } = self;
        let expected = Expected {
            pattern,
            port,
            netns: scene.namespace(local.side).inode(),
            local_pid: Some(local.actor.pid()),
            fd: local.open.then_some(local.fd.0),
            peer_pid: Some(other.actor.pid()),
            peer_is_silent: false,
            errno: errno.map(|errno| format!("{errno:?}")),
            allowed,
        };
        Outcome::of(Some(expected), port, vec![local.actor, other.actor])
    }

    /// As [`Ends::found_here_alone`], where the finding is about the process and not about a socket of it.
    pub(super) fn found_at_process(self, scene: &Scene<'_>, pattern: &'static str, errno: Errno) -> Outcome {
        let mut outcome = self.found_here_alone(scene, pattern, errno, &[]);
        outcome.expected.iter_mut().for_each(|expected| expected.fd = None);
        outcome
    }

    /// As [`Ends::found`], where nothing has to happen to the other end, and so nothing has to be told of it.
    pub(super) fn found_here_alone(
        self,
        scene: &Scene<'_>,
        pattern: &'static str,
        errno: impl Into<Option<Errno>>,
        allowed: &'static [&'static str],
    ) -> Outcome {
        let mut outcome = self.found(scene, pattern, errno.into(), allowed);
        outcome.expected.iter_mut().for_each(|expected| expected.peer_is_silent = true);
        outcome
    }
}

/// A request and its reply.
pub(super) fn exchange(client: &mut End, server: &mut End) -> Result<()> {
    client.send(REQUEST)?;
    server.receive(REQUEST)?;
    server.send(REPLY)?;
    client.receive(REPLY)
}

impl Outcome {
    /// What the two ends leave behind.
    pub(super) fn of(expected: Option<Expected>, port: u16, actors: Vec<Actor>) -> Self {
        Self { expected, port, pids: actors.iter().map(Actor::pid).collect(), actors }
    }

    /// And of one more process that had a part in it.
    pub(super) fn beside(mut self, actor: Actor) -> Self {
        self.pids.push(actor.pid());
        self.actors.push(actor);
        self
    }
}
