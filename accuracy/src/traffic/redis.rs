//! Redis and its own load generator.

use super::{
    Host, Traffic, program, said,
    server::{ADDRESS, Folder, Server},
};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

/// Clients at a time.
const CLIENTS: u32 = 5;

/// The server.
pub(crate) struct Redis {
    server: Server,
    benchmark: PathBuf,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub(crate) fn start() -> Result<Self> {
        let (program, benchmark) = (program("redis-server")?, program("redis-benchmark")?);
        let command = |folder: &Path| {
            let mut command = Command::new(program);
            command
                .args(["--bind", &ADDRESS.ip().to_string(), "--port", &ADDRESS.port().to_string()])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
                .arg(folder)
                .current_dir(folder);
            Ok(command)
        };
        let server = Server::start("redis", Signal::SIGTERM, Folder::new("redis")?, command, pong)?;
        Ok(Self { server, benchmark })
    }
}

impl Traffic for Redis {
    fn name(&self) -> &'static str {
        "of Redis"
    }

    fn host(&self) -> &Host {
        &self.server.host
    }

    /// One request a connection.
    fn burst(&self, connections: u32) -> Result<u32> {
        let mut command = Command::new(&self.benchmark);
        command
            .args(["-h", &ADDRESS.ip().to_string(), "-p", &ADDRESS.port().to_string()])
            .args(["-t", "get", "--csv", "-k", "0"])
            .args(["-n", &connections.to_string(), "-c", &CLIENTS.to_string()]);
        let said = self.host().enter(|| said(&mut command))?;
        ensure!(said.contains("\"GET\","), "redis-benchmark said {said:?}");
        Ok(connections)
    }

    fn gentle(&self) -> u32 {
        40
    }
}

/// Asks for a sign of life.
fn pong(mut stream: TcpStream) -> Result<()> {
    stream.write_all(b"PING\r\n").context("writing PING")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).context("reading the answer to PING")?;
    ensure!(answer == *b"+PONG\r\n", "the answer to PING is {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}
