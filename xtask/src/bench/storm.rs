//! A storm of short connections over loopback: connect, one request, one reply, close, as fast as the threads go.

use super::machine;
use anyhow::{Context as _, Result, ensure};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

const REQUEST: [u8; 64] = [b'q'; 64];
const REPLY: [u8; 256] = [b'a'; 256];

/// Pairs of a client and a server thread: with fewer than two, two CPUs wait for each other half of the time, and
/// the figure is mostly the price of waking up.
const LANES: u32 = 2;

/// The most connections of one storm. Each lane has one port, and so about 28,000 connections that can exist; those
/// in TIME_WAIT are used again after a second. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L110-L177>
pub(crate) const MOST: u32 = 24_000;

/// A storm is far shorter, however slow the machine.
const DEADLINE: Duration = Duration::from_mins(2);

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
/// They are kept from storm to storm: the connections in TIME_WAIT then stay below what the ports allow, far from
/// the host's `tcp_max_tw_buckets`, and each storm finds as many of them as the one before.
pub(crate) struct Storm {
    listeners: Vec<Arc<TcpListener>>,
}

/// What a storm did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// From the first connect to the last close.
    pub(crate) took: Duration,
    /// CPU time of all its threads; what loopback does for them is done in their name.
    pub(crate) cpu: Duration,
}

impl Storm {
    /// Listens.
    pub(crate) fn prepare(family: Family) -> Result<Self> {
        let listen = |_| TcpListener::bind(family.any_port()).map(Arc::new);
        let listeners = (0..LANES).map(listen).collect::<Result<_, _>>();
        Ok(Self { listeners: listeners.with_context(|| format!("listening on {} loopback", family.name()))? })
    }

    /// Makes this many connections, every reply read to its end.
    pub(crate) fn run(&self, connections: u32) -> Result<Outcome> {
        let (done, ends) = mpsc::channel();
        let each = connections / LANES;
        let begin = Instant::now();
        for listener in &self.listeners {
            let address = listener.local_addr().context("asking for the port")?;
            let listener = Arc::clone(listener);
            spawn(done.clone(), move || (0..each).try_for_each(|number| serve(&listener, number)));
            spawn(done.clone(), move || (0..each).try_for_each(|number| ask(address, number)));
        }
        // A thread that waits for one that failed would wait for ever: the first failure ends the run.
        let mut cpu = Duration::ZERO;
        for _ in 0..2 * LANES {
            let left = DEADLINE.saturating_sub(begin.elapsed());
            cpu += ends.recv_timeout(left).context("the storm stands still")??;
        }
        Ok(Outcome { took: begin.elapsed(), cpu })
    }
}

/// Does something in a thread of its own, and tells the CPU time that took.
fn spawn(done: Sender<Result<Duration>>, what: impl FnOnce() -> Result<()> + Send + 'static) {
    thread::spawn(move || {
        let cpu = what().and_then(|()| machine::cpu_of_thread());
        // Nobody listens any more when another thread has failed.
        let _ = done.send(cpu);
    });
}

/// The server closes first on every other connection, so that both orders of closing are in the mix.
fn server_closes_first(number: u32) -> bool {
    number.is_multiple_of(2)
}

fn serve(listener: &TcpListener, number: u32) -> Result<()> {
    let (mut stream, _) = listener.accept().context("accepting")?;
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request).context("reading a request")?;
    stream.write_all(&REPLY).context("writing a reply")?;
    if !server_closes_first(number) {
        ensure!(stream.read(&mut request).context("reading the end")? == 0, "the client said more");
    }
    Ok(())
}

fn ask(address: SocketAddr, number: u32) -> Result<()> {
    let mut stream = match TcpStream::connect(address) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            return Err(error).context("no port is free: the last storm's wait in TIME_WAIT; ask for fewer");
        }
        made => made.context("connecting")?,
    };
    stream.write_all(&REQUEST).context("writing a request")?;
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply).context("reading a reply")?;
    if server_closes_first(number) {
        ensure!(stream.read(&mut reply).context("reading the end")? == 0, "the server said more");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_storm_ends() -> Result<()> {
        let outcome = Storm::prepare(Family::Ipv4)?.run(20)?;
        assert!(outcome.took > Duration::ZERO);
        Ok(())
    }
}
