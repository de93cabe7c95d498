//! PostgreSQL and pgbench, which makes a connection for each transaction.

use super::{
    Host, Traffic, program, said,
    server::{ADDRESS, Folder, Server},
};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// `nobody`: the server refuses to run as root.
const USER: u32 = 65_534;
/// Clients at a time.
const CLIENTS: u32 = 2;

/// The server.
pub(crate) struct Postgres {
    server: Server,
    benchmark: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Result<Self> {
        let (initdb, postgres, benchmark) = (program("initdb")?, program("postgres")?, program("pgbench")?);
        let folder = Folder::new("postgres")?;
        chown(&folder.0, Some(USER), Some(USER)).context("giving a folder away")?;
        fs::write(folder.0.join("select.sql"), "SELECT 1;\n").context("writing a query")?;
        let as_nobody = |program: &Path| {
            let mut command = Command::new(program);
            command.uid(USER).gid(USER).current_dir(&folder.0).env("LC_ALL", "C");
            command
        };
        let data = folder.0.join("data");
        said(as_nobody(&initdb).args(["-U", "postgres", "-A", "trust", "-N", "-D"]).arg(&data))
            .context("making a database")?;
        let mut command = as_nobody(&postgres);
        command.arg("-D").arg(&data);
        for setting in [
            format!("listen_addresses={}", ADDRESS.ip()),
            format!("port={}", ADDRESS.port()),
            "unix_socket_directories=".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "fsync=off".to_owned(),
            // Or each wakes up again and again.
            "autovacuum=off".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        // SIGINT: connections are ended in good order.
        let server = Server::start(
            "postgres",
            Signal::SIGINT,
            folder,
            |_| Ok(command),
            |stream| {
                drop(stream);
                Ok(())
            },
        )?;
        let this = Self { server, benchmark };
        // It listens before it is ready.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match this.burst(1) {
                Ok(_) => return Ok(this),
                Err(error) if std::time::Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
    }
}

impl Traffic for Postgres {
    fn name(&self) -> &'static str {
        "of PostgreSQL"
    }

    fn host(&self) -> &Host {
        &self.server.host
    }

    fn burst(&self, connections: u32) -> Result<u32> {
        let each = connections.div_ceil(CLIENTS);
        let mut command = Command::new(&self.benchmark);
        command
            .args(["-h", &ADDRESS.ip().to_string(), "-p", &ADDRESS.port().to_string(), "-U", "postgres"])
            .args(["-C", "-n", "-c", &CLIENTS.to_string(), "-t", &each.to_string(), "-f"])
            .arg(self.server.folder.0.join("select.sql"))
            .arg("postgres");
        let said = self.host().enter(|| said(&mut command))?;
        processed(&said).with_context(|| format!("pgbench said {said:?}"))
    }

    fn gentle(&self) -> u32 {
        10
    }
}

/// Transactions, each of which had a connection.
fn processed(said: &str) -> Option<u32> {
    let line =
        said.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "))?;
    line.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_counted() {
        let said =
            "query mode: simple\nnumber of transactions actually processed: 20/20\nlatency average = 1 ms\n";
        assert_eq!(processed(said), Some(20));
        assert_eq!(processed("no"), None);
    }
}
