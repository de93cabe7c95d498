//! Connections on which nothing goes wrong.

use super::server::{BODY, HTTP};
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

/// A reply that takes so long will never come.
const LIMIT: Duration = Duration::from_secs(20);
/// Every so many connections, the client keeps the connection alive and closes first.
const KEEP_ALIVE: usize = 4;
/// Requests on a connection that is kept alive.
const REQUESTS: usize = 2;

/// A connection to nginx with one reply or more, each read to its end; `turn` decides who closes first.
pub(super) fn request(host: IpAddr, turn: usize) -> Result<()> {
    let address = SocketAddr::new(host, HTTP);
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(LIMIT)).context("setting a limit")?;
    stream.set_write_timeout(Some(LIMIT)).context("setting a limit")?;
    let mut reader = BufReader::new(stream);
    if turn.is_multiple_of(KEEP_ALIVE) {
        for _ in 0..REQUESTS {
            ask(&mut reader, "keep-alive")?;
        }
        return Ok(());
    }
    ask(&mut reader, "close")?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).context("waiting for nginx to close")?;
    ensure!(rest.is_empty(), "{} bytes came after the reply", rest.len());
    Ok(())
}

/// A request and its reply.
fn ask(reader: &mut BufReader<TcpStream>, connection: &str) -> Result<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n");
    reader.get_mut().write_all(request.as_bytes()).context("sending a request")?;
    let mut length = None;
    for number in 0.. {
        let mut line = String::new();
        reader.read_line(&mut line).context("reading the head of a reply")?;
        let line = line.strip_suffix("\r\n").with_context(|| format!("a reply ends within {line:?}"))?;
        ensure!(number > 0 || line == "HTTP/1.1 200 OK", "nginx replied {line}");
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = Some(value.parse().with_context(|| format!("a reply of {value} bytes"))?);
        }
    }
    let mut body = vec![0; length.context("a reply of unknown length")?];
    reader.read_exact(&mut body).context("reading the body of a reply")?;
    ensure!(body.iter().all(|byte| *byte == b'n') && body.len() == BODY, "the reply is another");
    Ok(())
}
