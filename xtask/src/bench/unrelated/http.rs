//! nginx, and a client that keeps a few connections busy.

use super::{program, server::Server};
use crate::bench::{
    load::{DEADLINE, Load, Outcome},
    machine,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Instant,
};

const CONNECTIONS: u32 = 8;
/// Requests on each of them.
const LAPS: u32 = 12_500;
/// Bytes of a reply, its head not counted.
const BODY: usize = 1_000;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const STATUS: &[u8] = b"HTTP/1.1 200 ";

pub(super) fn about() -> String {
    format!(
        "{} requests to one process of nginx over {CONNECTIONS} kept connections, one request on each at a time, \
         replies of {BODY} bytes",
        CONNECTIONS * LAPS
    )
}

pub(super) struct Http {
    server: Server,
    /// Bytes of every reply: nothing in it changes its length.
    reply: usize,
}

impl Http {
    /// Starts a server of one process, its worker being its master: so there is one to be ended.
    pub(super) fn prepare() -> Result<Self> {
        let program = program("nginx")?;
        let command = |folder: &Path, address: SocketAddr| {
            let configuration = folder.join("nginx.conf");
            fs::write(&configuration, configure(folder, address)?).context("configuring nginx")?;
            let mut command = Command::new(&program);
            // -e: or it opens the error log it was built with before it knows another.
            command
                .arg("-e")
                .arg(folder.join("error.log"))
                .arg("-p")
                .arg(folder)
                .arg("-c")
                .arg(configuration);
            Ok(command)
        };
        let reply = Cell::new(0);
        let answers = |stream| first_reply(stream).map(|length| reply.set(length));
        let server = Server::start("nginx", command, answers)?;
        Ok(Self { server, reply: reply.get() })
    }
}

impl Load for Http {
    /// One thread asks on every connection and then, in turn, reads a reply and asks again: the server always has
    /// something to do.
    fn run(&self) -> Result<Outcome> {
        let connect = |_| self.server.connect();
        let mut connections = (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>>>()?;
        let mut reply = vec![0; self.reply];
        let clocks = || anyhow::Ok(self.server.cpu()? + machine::cpu_of_thread()?);
        let before = clocks()?;
        let begin = Instant::now();
        connections.iter_mut().try_for_each(ask)?;
        for lap in 1..=LAPS {
            for connection in &mut connections {
                connection.read_exact(&mut reply).context("reading a reply")?;
                ensure!(reply.starts_with(STATUS), "nginx says {}", String::from_utf8_lossy(&reply));
                if lap < LAPS {
                    ask(connection)?;
                }
            }
            ensure!(begin.elapsed() < DEADLINE, "requests take too long");
        }
        let took = begin.elapsed();
        Ok(Outcome { units: f64::from(CONNECTIONS * LAPS), took, cpu: clocks()?.saturating_sub(before) })
    }
}

fn ask(connection: &mut TcpStream) -> Result<()> {
    connection.write_all(REQUEST).context("writing a request")
}

/// Asks once; the length of the reply, by what its head says.
fn first_reply(mut stream: TcpStream) -> Result<usize> {
    ask(&mut stream)?;
    let mut reply = Vec::new();
    loop {
        if let Some(length) = length(&reply) {
            ensure!(length >= BODY, "the reply is too short: {}", String::from_utf8_lossy(&reply));
            stream.read_exact(&mut vec![0; length.saturating_sub(reply.len())]).context("reading a reply")?;
            return Ok(length);
        }
        let mut byte = [0];
        if stream.read(&mut byte).context("reading the head of a reply")? == 0 || reply.len() > 4 * BODY {
            bail!("no reply: {}", String::from_utf8_lossy(&reply));
        }
        reply.extend(byte);
    }
}

/// Bytes of a reply, once its whole head is there.
fn length(begin: &[u8]) -> Option<usize> {
    let text = str::from_utf8(begin).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let body: usize = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())?;
    Some(head.len() + "\r\n\r\n".len() + body)
}

fn configure(folder: &Path, address: SocketAddr) -> Result<String> {
    let root = folder.display();
    // A user of its own would need rights to the folder.
    let mut text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\n\
         pid {root}/pid;\nlock_file {root}/lock;\nerror_log {root}/error.log warn;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 600;\n  keepalive_requests 1000000000;\n"
    );
    for purpose in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {purpose}_temp_path {root}/{purpose};")?;
    }
    writeln!(text, "  server {{ listen {address}; return 200 {}; }}\n}}", "n".repeat(BODY))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_the_length() {
        let head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(length(head), Some(head.len() + 5));
        assert_eq!(length(&head[..head.len() - 1]), None);
    }
}
