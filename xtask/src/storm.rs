//! A storm of short connections over loopback: connect, one request, one reply, close, as fast as two threads go.

use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

const REQUEST: [u8; 64] = [b'q'; 64];
const REPLY: [u8; 256] = [b'a'; 256];

/// What a storm did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Connections that were made, served and closed.
    pub connections: u64,
    /// How long it took.
    pub took: Duration,
}

/// Makes this many connections, every reply read to its end. The server closes first on every other one, so that
/// both orders of closing are in the mix.
///
/// # Errors
/// When a connection fails.
pub fn run(connections: u64, ipv6: bool) -> Result<Outcome> {
    let address: SocketAddr =
        if ipv6 { (Ipv6Addr::LOCALHOST, 0).into() } else { (Ipv4Addr::LOCALHOST, 0).into() };
    let listener = TcpListener::bind(address).context("listening on loopback")?;
    let address = listener.local_addr().context("asking for the port")?;
    thread::scope(|scope| {
        let server = scope.spawn(move || (0..connections).try_for_each(|number| serve(&listener, number)));
        let begin = Instant::now();
        for number in 0..connections {
            ask(address, number).with_context(|| format!("connection {number}"))?;
        }
        let took = begin.elapsed();
        server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
        Ok(Outcome { connections, took })
    })
}

fn server_closes_first(number: u64) -> bool {
    number.is_multiple_of(2)
}

fn serve(listener: &TcpListener, number: u64) -> Result<()> {
    let (mut stream, _) = listener.accept().context("accepting")?;
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request).context("reading a request")?;
    stream.write_all(&REPLY).context("writing a reply")?;
    if !server_closes_first(number) {
        ensure!(stream.read(&mut request).context("reading the end")? == 0, "the client said more");
    }
    Ok(())
}

fn ask(address: SocketAddr, number: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("connecting")?;
    stream.write_all(&REQUEST).context("writing a request")?;
    let mut reply = [0; REPLY.len()];
    stream.read_exact(&mut reply).context("reading a reply")?;
    if server_closes_first(number) {
        ensure!(stream.read(&mut reply).context("reading the end")? == 0, "the server said more");
    }
    Ok(())
}
