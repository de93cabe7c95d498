//! A server in a namespace of its own, with a folder of its own.

use super::Host;
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server starts within seconds, on a busy machine too, and ends within them.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether it answers, or has ended; it tells nobody.
const PERIOD: Duration = Duration::from_millis(10);
/// Nobody else is in its namespace.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8_000);

/// A running server; it is ended and its folder removed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    end: Signal,
    pub(super) host: Host,
    pub(super) folder: Folder,
}

impl Server {
    /// Starts what `command` makes of the server's folder, and returns when it answers; `end` ends it.
    pub(super) fn start(
        name: &str,
        end: Signal,
        folder: Folder,
        command: impl FnOnce(&Path) -> Result<Command>,
        answers: impl Fn(TcpStream) -> Result<()> + Sync,
    ) -> Result<Self> {
        let host = Host::new()?;
        // Connections in TIME_WAIT need ports of their own.
        host.set_sysctl("net.ipv4.ip_local_port_range", "10000 65000")?;
        let said = folder.0.join("said");
        let file = File::create(&said).context("making a file for what it says")?;
        let mut command = command(&folder.0)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().context("sharing a file")?).stderr(file);
        let process = host.enter(|| command.spawn().with_context(|| format!("starting {name}")))?;
        let mut server = Self { process, end, host, folder };
        let until = Instant::now() + LIMIT;
        loop {
            let answer = server.host.enter(|| connect().and_then(&answers));
            let ended = server.process.try_wait().with_context(|| format!("looking at {name}"))?;
            match answer {
                Ok(()) if ended.is_none() => return Ok(server),
                _ if ended.is_none() && Instant::now() < until => thread::sleep(PERIOD),
                answer => {
                    let said = fs::read_to_string(&said).unwrap_or_default();
                    let problem = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
                    bail!("{name} does not serve ({problem}): {}", said.trim());
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // Fails when it has ended, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), self.end);
        }
        let until = Instant::now() + LIMIT;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(PERIOD);
        }
        // Both fail when it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection to the server of the namespace of the calling thread, which does not wait for ever.
pub(super) fn connect() -> Result<TcpStream> {
    let stream = TcpStream::connect(ADDRESS).context("connecting")?;
    stream.set_read_timeout(Some(LIMIT)).context("setting up a connection")?;
    Ok(stream)
}

/// A folder for temporary files that goes with this value.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("accuracy-{name}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}
