//! A storm of short connections over loopback: connect, one request, one reply, close, as fast as it goes.

use super::{
    load::{DEADLINE, Load, Outcome},
    machine,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

const REQUEST: [u8; 64] = [b'q'; 64];
const REPLY: [u8; 256] = [b'a'; 256];

/// Threads, one for each of the two CPUs of the goal. Each plays both ends of its connections in turn.
///
/// With a thread for each end a connection costs up to half as much again, depending on which CPU the scheduler
/// wakes the other end on: that would hide what is measured. This way nobody is ever woken.
const LANES: u32 = 2;

/// The most connections of one storm. Each thread has one port, and so about 28,000 connections that can exist; those
/// in TIME_WAIT are used again after a second. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L110-L177>
pub(crate) const MOST: u32 = 24_000;

/// Changes of state of one connection, both ends together.
pub(crate) const CHANGES: f64 = 10.0;
/// Those of which tcptrace makes a record: into CLOSE_WAIT, and out of it.
pub(crate) const TOLD: f64 = 2.0;

/// The address family of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    fn any_port(self) -> SocketAddr {
        match self {
            Self::Ipv4 => (Ipv4Addr::LOCALHOST, 0).into(),
            Self::Ipv6 => (Ipv6Addr::LOCALHOST, 0).into(),
        }
    }
}

/// The listeners of many storms.
///
/// They are kept from storm to storm: there are then never more connections in TIME_WAIT than their ports allow, and
/// each storm finds as many as the one before.
pub(crate) struct Storm {
    listeners: Vec<Arc<TcpListener>>,
    connections: u32,
}

impl Storm {
    /// Listens, for storms of this many connections.
    pub(crate) fn prepare(family: Family, connections: u32) -> Result<Self> {
        let listen = |_| TcpListener::bind(family.any_port()).map(Arc::new);
        let listeners = (0..LANES).map(listen).collect::<Result<_, _>>();
        let listeners = listeners.with_context(|| format!("listening on {} loopback", family.name()))?;
        Ok(Self { listeners, connections })
    }

    /// The ports it listens on, the lowest first.
    pub(crate) fn ports(&self) -> Result<Vec<u16>> {
        let port = |listener: &Arc<TcpListener>| listener.local_addr().map(|address| address.port());
        let mut ports: Vec<u16> = self.listeners.iter().map(port).collect::<Result<_, _>>()?;
        ports.sort_unstable();
        Ok(ports)
    }
}

impl Load for Storm {
    /// Makes its connections, every reply read to its end.
    fn run(&self) -> Result<Outcome> {
        let (done, ends) = mpsc::channel();
        let each = self.connections / LANES;
        let begin = Instant::now();
        for listener in &self.listeners {
            let address = listener.local_addr().context("asking for the port")?;
            let (listener, done) = (Arc::clone(listener), done.clone());
            thread::spawn(move || {
                let cpu = (0..each)
                    .try_for_each(|number| connection(&listener, address, number))
                    .and_then(|()| machine::cpu_of_thread());
                // Nobody listens any more when the other thread has failed.
                let _ = done.send(cpu);
            });
        }
        drop(done);
        let mut cpu = Duration::ZERO;
        for _ in 0..LANES {
            let left = DEADLINE.saturating_sub(begin.elapsed());
            cpu += ends.recv_timeout(left).context("the storm stands still")??;
        }
        Ok(Outcome { units: f64::from(self.connections), took: begin.elapsed(), cpu })
    }
}

/// One connection: each end sends, each end reads all of it; the server closes first on every other one, so that
/// both orders of closing are in the mix.
fn connection(listener: &TcpListener, address: SocketAddr, number: u32) -> Result<()> {
    let mut client = match TcpStream::connect(address) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            return Err(error).context("no port is free: the last storm's wait in TIME_WAIT; ask for fewer");
        }
        made => made.context("connecting")?,
    };
    let (mut server, _) = listener.accept().context("accepting")?;
    let mut buffer = [0; REPLY.len()];
    client.write_all(&REQUEST).context("writing a request")?;
    server.read_exact(&mut buffer[..REQUEST.len()]).context("reading a request")?;
    server.write_all(&REPLY).context("writing a reply")?;
    client.read_exact(&mut buffer).context("reading a reply")?;
    let (first, mut second) = if number.is_multiple_of(2) { (server, client) } else { (client, server) };
    drop(first);
    ensure!(second.read(&mut buffer).context("reading the end")? == 0, "the other end said more");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_storm_ends() -> Result<()> {
        let outcome = Storm::prepare(Family::Ipv4, 20)?.run()?;
        assert!(outcome.took > Duration::ZERO);
        Ok(())
    }
}
