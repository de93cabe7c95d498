//! An ordinary `tcptrace watch --json` of one namespace, and everything it writes.

use super::server::Folder;
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long the watcher may take to attach, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running watcher; ended when dropped.
pub(super) struct Watch {
    child: Child,
    records: Receiver<Value>,
    said: PathBuf,
}

impl Watch {
    /// Starts it, and returns when every probe is attached and what existed was looked at.
    pub(super) fn start(namespace: u32, leak_after: Duration, folder: &Folder) -> Result<Self> {
        let said = folder.file("watch.said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcptrace"));
        command.args(["watch", "--json", "--min-severity", "info", "--netns", &namespace.to_string()]);
        command.arg("--set").arg(format!("close_wait_leak.after={}s", leak_after.as_secs()));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&said).context("making a file for the watcher")?);
        let mut child = command.spawn().context("starting `tcptrace watch`")?;
        let stdout = child.stdout.take().context("the watcher's output")?;
        let (sender, records) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(record).is_err() {
                    break;
                }
            }
        });
        let mut watch = Self { child, records, said };
        match watch.records.recv_timeout(PATIENCE) {
            Ok(start) if start["type"] == "start" => Ok(watch),
            Ok(other) => bail!("the watcher began with {other}"),
            Err(_) => Err(watch.failed("did not start")),
        }
    }

    /// Waits for what may come late, and ends it; all its records after the first, the last of which is `stop`.
    pub(super) fn finish(mut self, quiet: Duration) -> Result<Vec<Value>> {
        let mut records = Vec::new();
        let until = Instant::now() + quiet;
        loop {
            match self.records.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(record) => records.push(record),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed("ended by itself")),
            }
        }
        let pid = i32::try_from(self.child.id()).context("the watcher's process id")?;
        kill(Pid::from_raw(pid), Signal::SIGINT).context("ending the watcher")?;
        loop {
            match self.records.recv_timeout(PATIENCE) {
                Ok(record) => records.push(record),
                Err(RecvTimeoutError::Timeout) => return Err(self.failed("did not end")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait().context("waiting for the watcher")?;
        if !status.success() || records.last().is_none_or(|record| record["type"] != "stop") {
            return Err(self.failed("did not stop well"));
        }
        Ok(records)
    }

    /// Why there is no watcher any more.
    fn failed(&mut self, what: &str) -> anyhow::Error {
        let status = self.child.kill().and_then(|()| self.child.wait());
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        anyhow::anyhow!("`tcptrace watch` {what} ({status}): {}", said.trim())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
