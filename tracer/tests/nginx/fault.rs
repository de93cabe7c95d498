//! The faults that are planted, by processes of their own, and what the calls of those answered.

use super::server::{BAD, BODY, HTTP2};
use anyhow::{Result, ensure};
use nix::errno::Errno;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tracer::lab::{
    actor::{Actor, Domain, Events, Fd, SocketOption, errno_of},
    namespace::Namespace,
    path::Side,
    world::World,
};
use tracer_common::State;

/// Where nobody listens. All ports lie below those that clients get.
const CLOSED: u16 = 8083;
/// The first of those at which a process accepts too late.
const LATE: u16 = 9000;
/// What the kernel and nginx do by themselves takes microseconds.
const SOON: Duration = Duration::from_secs(10);
/// Bytes of a request; nginx knows none that begins like this.
const REQUEST: usize = 10;
/// More than nginx replies.
const REPLY: usize = 2 * BODY;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody listens.
    Refused,
    /// The client aborts in the middle of what it says to nginx.
    Reset,
    /// The client writes after nginx has replied and closed.
    LateWrite,
    /// The client aborts before anybody has accepted.
    Queued,
}

const KINDS: [Kind; 4] = [Kind::Refused, Kind::Reset, Kind::LateWrite, Kind::Queued];

/// A process at an end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// There is none.
    Nobody,
    /// This one, of this name.
    Actor(u32, String),
    /// A worker of nginx, which itself tells which one.
    Worker,
}

/// A fault that was planted.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// The end that the fault happened to.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The process it happened to.
    pub(super) victim: Party,
    /// The process at the other end.
    pub(super) peer: Party,
    /// What the victim's call gave; nginx tells its own.
    pub(super) errno: Option<Errno>,
}

impl Kind {
    /// What has to be told.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Reset => "linger_zero_abort",
            Self::LateWrite => "fin_wait2_write_reset",
            Self::Queued => "accept_queue_reset",
        }
    }

    /// What holds as well, and may be told of the same connection.
    pub(super) fn allowed(self) -> &'static [&'static str] {
        match self {
            Self::Refused | Self::Reset | Self::Queued => &[],
            Self::LateWrite => &["broken_pipe"],
        }
    }
}

/// Two processes that make faults: a client, and a server that accepts too late.
pub(super) struct Planter {
    number: usize,
    hosts: Vec<IpAddr>,
    client: Actor,
    server: Actor,
    listeners: Vec<(Fd, SocketAddr)>,
}

impl Planter {
    pub(super) fn new(world: &World, number: usize, hosts: &[IpAddr]) -> Result<Self> {
        let client = world.actor(Side::A, &format!("planter-{number}"))?;
        let mut server = world.actor(Side::A, &format!("acceptor-{number}"))?;
        let mut listeners = Vec::new();
        for host in hosts {
            let address = SocketAddr::new(*host, LATE + u16::try_from(number)?);
            let listener = server.socket(Domain::of(address))?;
            server.bind(listener, address)?;
            server.listen(listener, 16)?;
            listeners.push((listener, address));
        }
        Ok(Self { number, hosts: hosts.to_vec(), client, server, listeners })
    }

    /// Makes the fault of this round; all kinds at all addresses have their turn.
    pub(super) fn plant(&mut self, round: usize, namespace: &Namespace) -> Result<Fault> {
        let place = round / KINDS.len() % self.hosts.len();
        let at = |port| SocketAddr::new(self.hosts[place], port);
        match KINDS[(round + self.number) % KINDS.len()] {
            Kind::Refused => self.refused(at(CLOSED)),
            Kind::Reset => self.reset(at(HTTP2)),
            Kind::LateWrite => self.late_write(at(BAD), namespace),
            Kind::Queued => self.queued(place, namespace),
        }
    }

    fn me(&self) -> Party {
        Party::Actor(self.client.pid(), format!("planter-{}", self.number))
    }

    fn connected(&mut self, address: SocketAddr) -> Result<(Fd, SocketAddr)> {
        let fd = self.client.socket(Domain::of(address))?;
        self.client.connect(fd, address)?;
        Ok((fd, self.client.local_address(fd)?))
    }

    fn send(&mut self, fd: Fd) -> Result<()> {
        let sent = self.client.send(fd, REQUEST)?;
        ensure!(sent == REQUEST, "{sent} of {REQUEST} bytes were taken");
        Ok(())
    }

    fn wait(&mut self, fd: Fd, awaited: Events) -> Result<()> {
        let events = self.client.poll(fd, awaited, SOON)?;
        ensure!(events.contains(awaited), "waited for {awaited:?}, {events:?} came");
        Ok(())
    }

    fn abort(&mut self, fd: Fd) -> Result<()> {
        self.client.set(fd, SocketOption::Linger(Some(0)))?;
        Ok(self.client.close(fd)?)
    }

    fn refused(&mut self, remote: SocketAddr) -> Result<Fault> {
        let fd = self.client.socket(Domain::of(remote))?;
        // Bound before: the port cannot be asked for any more once the connection was refused.
        self.client.bind(fd, SocketAddr::new(remote.ip(), 0))?;
        let local = self.client.local_address(fd)?;
        let errno = Some(errno_of(self.client.connect(fd, remote))?);
        self.client.close(fd)?;
        Ok(Fault { kind: Kind::Refused, local, remote, victim: self.me(), peer: Party::Nobody, errno })
    }

    fn reset(&mut self, local: SocketAddr) -> Result<Fault> {
        let (fd, remote) = self.connected(local)?;
        self.send(fd)?;
        // nginx has accepted and read when it says what it can do, and waits for more.
        let settings = self.client.recv(fd, REPLY)?;
        ensure!(settings > 0, "nginx closed a connection of HTTP/2");
        self.abort(fd)?;
        Ok(Fault { kind: Kind::Reset, local, remote, victim: Party::Worker, peer: self.me(), errno: None })
    }

    fn late_write(&mut self, remote: SocketAddr, namespace: &Namespace) -> Result<Fault> {
        let (fd, local) = self.connected(remote)?;
        self.send(fd)?;
        // The FIN is acknowledged when the reply is read with it. Otherwise a timer does that, 40 ms later and in an
        // interrupt; where that interrupts a program in the kernel, the same program does not run again.
        self.wait(fd, Events::EPOLLRDHUP)?;
        let reply = self.client.recv(fd, REPLY)?;
        ensure!(reply >= BODY, "nginx replied {reply} bytes");
        let end = self.client.recv(fd, REPLY)?;
        ensure!(end == 0, "{end} bytes came after the reply");
        namespace.wait_state(remote, local, Some(State::FinWait2), SOON)?;
        self.send(fd)?;
        self.wait(fd, Events::EPOLLERR)?;
        let errno = Some(errno_of(self.client.send(fd, REQUEST))?);
        self.client.close(fd)?;
        Ok(Fault { kind: Kind::LateWrite, local, remote, victim: self.me(), peer: Party::Worker, errno })
    }

    fn queued(&mut self, place: usize, namespace: &Namespace) -> Result<Fault> {
        let (listener, local) = self.listeners[place];
        let (fd, remote) = self.connected(local)?;
        // A RST before the last ACK of the handshake would meet a half-open connection.
        namespace.wait_state(local, remote, Some(State::Established), SOON)?;
        self.send(fd)?;
        self.abort(fd)?;
        namespace.wait_state(local, remote, None, SOON)?;
        // accept knows nothing of it; the request can be read, then the error comes.
        let (accepted, _) = self.server.accept(listener)?;
        let read = self.server.recv(accepted, REQUEST)?;
        ensure!(read == REQUEST, "{read} of {REQUEST} bytes had come");
        let errno = Some(errno_of(self.server.recv(accepted, REQUEST))?);
        self.server.close(accepted)?;
        let victim = Party::Actor(self.server.pid(), format!("acceptor-{}", self.number));
        Ok(Fault { kind: Kind::Queued, local, remote, victim, peer: self.me(), errno })
    }
}
