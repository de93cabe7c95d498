//! Redis and its own load generator.

use super::{program, server::Server};
use crate::bench::{
    load::{DEADLINE, Load, Outcome},
    machine,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const REQUESTS: u32 = 200_000;
const CLIENTS: u32 = 20;

pub(super) fn about() -> String {
    format!("{REQUESTS} GETs of redis-benchmark over {CLIENTS} connections, without pipelining")
}

pub(super) struct Redis {
    server: Server,
    benchmark: PathBuf,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub(super) fn prepare() -> Result<Self> {
        let (program, benchmark) = (program("redis-server")?, program("redis-benchmark")?);
        let command = |folder: &Path, address: SocketAddr| {
            let mut command = Command::new(&program);
            command
                .args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
                .arg(folder)
                .current_dir(folder);
            Ok(command)
        };
        Ok(Self { server: Server::start("redis", command, pong)?, benchmark })
    }
}

impl Load for Redis {
    fn run(&self) -> Result<Outcome> {
        let (server, children) = (self.server.cpu()?, machine::cpu_of_children()?);
        let mut command = Command::new(&self.benchmark);
        command
            .args(["-h", "127.0.0.1", "-p", &self.server.port().to_string(), "-t", "get", "--csv"])
            .args(["-n", &REQUESTS.to_string(), "-c", &CLIENTS.to_string()]);
        let rate = rate(&said(&mut command)?)?;
        let server = self.server.cpu()?.saturating_sub(server);
        let client = machine::cpu_of_children()?.saturating_sub(children);
        let units = f64::from(REQUESTS);
        Ok(Outcome { units, took: Duration::from_secs_f64(units / rate), cpu: server + client })
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

/// Runs a command to its end; what it wrote to standard output.
fn said(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().context("starting redis-benchmark")?;
    let mut output = process.stdout.take().context("the output was asked for")?;
    let (send, text) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        // Nobody listens any more after the deadline.
        let _ = send.send(output.read_to_string(&mut text).map(|_| text));
    });
    let text = text.recv_timeout(DEADLINE);
    if text.is_err() {
        // Fails only when it has ended already.
        let _ = process.kill();
    }
    let status = process.wait().context("waiting for redis-benchmark")?;
    let text = text.context("redis-benchmark does not end")?.context("reading what redis-benchmark says")?;
    ensure!(status.success(), "redis-benchmark failed ({status}): {}", text.trim());
    Ok(text)
}

/// Requests a second: the second column, below a head since version 6.2.
fn rate(csv: &str) -> Result<f64> {
    let cell = csv.lines().find_map(|line| line.strip_prefix("\"GET\",")?.split(',').next());
    let rate = cell.and_then(|cell| cell.trim_matches('"').parse().ok()).filter(|rate| *rate > 0.0);
    rate.with_context(|| format!("redis-benchmark said {csv:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read() {
        let head = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\"\n";
        let both = format!("{head}\"GET\",\"98522.17\",\"0.113\",\"0.032\"\n");
        assert!(rate(&both).is_ok_and(|rate| (rate - 98_522.17).abs() < 1e-6));
        assert!(rate("\"GET\",\"98522.17\"\n").is_ok());
        assert!(rate(head).is_err());
        assert!(rate("\"GET\",\"0.00\"\n").is_err());
    }
}
