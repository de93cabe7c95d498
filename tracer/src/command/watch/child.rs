//! The command after `--`. Which sockets are its own, or of the processes below it, the kernel programs mark.

use crate::cli::exit::Exit;
use anyhow::{Context, Result};
use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitStatus};
use tokio::process::Command;

/// A command that runs under watch.
pub(super) struct Child {
    process: tokio::process::Child,
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
        Ok(Self { process, status: None })
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
