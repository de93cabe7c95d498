//! A server of one process on loopback, with a folder of its own.

use crate::bench::machine;
use anyhow::{Context as _, Result, bail};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use xtask::place;

/// A server starts within milliseconds.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether it answers; it tells nobody.
const PERIOD: Duration = Duration::from_millis(10);
/// Somebody else may get the port first.
const ATTEMPTS: usize = 3;

/// A running server; it is ended and its folder removed when this is dropped.
///
/// It is killed: none has anything to keep.
pub(super) struct Server {
    process: Child,
    // Removed when `drop` is through, and so when the process has ended.
    _folder: Folder,
    address: SocketAddr,
}

impl Server {
    /// Starts what `command` makes of a folder and an address, and returns when `answers` is content.
    pub(super) fn start(
        name: &str,
        command: impl Fn(&Path, SocketAddr) -> Result<Command>,
        answers: impl Fn(TcpStream) -> Result<()>,
    ) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let outcome = Self::attempt(name, &command, &answers);
            if outcome.is_ok() || attempt == ATTEMPTS {
                return outcome;
            }
            attempt += 1;
        }
    }

    fn attempt(
        name: &str,
        command: impl Fn(&Path, SocketAddr) -> Result<Command>,
        answers: impl Fn(TcpStream) -> Result<()>,
    ) -> Result<Self> {
        let folder = Folder::new(name)?;
        let said = folder.0.join("said");
        let file = File::create(&said).context("making a file for what it says")?;
        let address = free_address()?;
        let mut command = command(&folder.0, address)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().context("sharing a file")?).stderr(file);
        let process = command.spawn().with_context(|| format!("starting {name}"))?;
        let mut server = Self { process, _folder: folder, address };
        let until = Instant::now() + LIMIT;
        loop {
            let answer = server.connect().and_then(&answers);
            let ended = server.process.try_wait().with_context(|| format!("looking at {name}"))?;
            match answer {
                Ok(()) if ended.is_none() => return Ok(server),
                _ if ended.is_none() && Instant::now() < until => thread::sleep(PERIOD),
                answer => {
                    let said = fs::read_to_string(&said).unwrap_or_default();
                    let problem = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
                    let ended = ended.map_or("runs".to_owned(), |status| status.to_string());
                    bail!("{name} does not serve ({ended}; {problem}): {}", said.trim());
                }
            }
        }
    }

    /// A connection to it that does not wait for ever.
    pub(super) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).context("connecting")?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(LIMIT)))
            .and_then(|()| stream.set_write_timeout(Some(LIMIT)))
            .context("setting up a connection")?;
        Ok(stream)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// CPU time so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        machine::cpu_of_process(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended, which it does not of itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that the kernel chose, and that nobody has any more.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    listener.local_addr().context("asking for the port")
}

/// A folder under the target directory that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = place::own_target().join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_at_once_does_not_answer() {
        let command = |folder: &Path, _: SocketAddr| {
            assert!(folder.is_dir());
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo this is not a server; exit 3"]);
            Ok(shell)
        };
        let refused = Server::start("nobody", command, |_| Ok(())).map(drop).unwrap_err();
        assert!(refused.to_string().contains("this is not a server"), "{refused:#}");
        let folder = place::own_target().join(format!("bench-nobody-{}", std::process::id()));
        assert!(!folder.exists(), "{} stays", folder.display());
    }
}
