//! The command after `--`, and the processes below it.

use crate::cli::exit::Exit;
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};
use tokio::process::Command;

/// How often the processes are looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// A command that runs under watch.
pub(super) struct Child {
    process: tokio::process::Child,
    known: BTreeSet<u32>,
    looked: Option<Instant>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts it, as the user who called sudo where that is known.
    pub(super) fn start(command: &[OsString]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command was given")?;
        let mut starting = Command::new(program);
        starting.args(arguments);
        let id = |name: &str| std::env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
        if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
            starting.uid(uid).gid(gid);
        }
        let process = starting.spawn().with_context(|| format!("starting {}", program.display()))?;
        let known = process.id().into_iter().collect();
        Ok(Self { process, known, looked: None, status: None })
    }

    /// Whether a process is the command or below it, as far as it was seen to be.
    pub(super) fn owns(&self, pid: u32) -> bool {
        self.known.contains(&pid)
    }

    /// Learns which processes are below the command; at most every [`PERIOD`].
    pub(super) fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.looked = Some(Instant::now());
        let Ok(all) = procfs::process::all_processes() else { return };
        let parents = all.filter_map(|process| {
            let stat = process.ok()?.stat().ok()?;
            Some((u32::try_from(stat.pid).ok()?, u32::try_from(stat.ppid).ok()?))
        });
        let parents: Vec<(u32, u32)> = parents.collect();
        // A parent may stand behind its child: until nothing new is found.
        loop {
            let before = self.known.len();
            self.known.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| self.known.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if self.known.len() == before {
                return;
            }
        }
    }

    /// How the command ended, as an exit of ours.
    pub(super) fn exit(&self) -> Exit {
        let Some(status) = self.status else { return Exit::Done };
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        Exit::Child(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }
}

/// Waits for the command to end; for ever when there is none.
pub(super) async fn ended(child: &mut Option<Child>) -> Result<()> {
    let Some(child) = child else { return std::future::pending().await };
    child.status = Some(child.process.wait().await.context("waiting for the command")?);
    Ok(())
}
