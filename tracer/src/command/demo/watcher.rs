//! An ordinary `tcptrace watch --json`, read line by line.

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long the watcher may take to attach, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running watcher; ended when dropped.
pub(super) struct Watcher {
    child: Child,
    lines: Receiver<Value>,
}

impl Watcher {
    /// Starts a watcher of these namespaces, and returns when every probe is attached.
    pub(super) fn start(namespaces: &[u32], thresholds: &[String], exclude: &[&str]) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["watch", "--json", "--min-severity", "info"]);
        for inode in namespaces {
            command.arg("--netns").arg(inode.to_string());
        }
        for threshold in thresholds {
            command.arg("--set").arg(threshold);
        }
        // A hundred processes at once may make each other wait.
        command.args(["--set", "join.hold=500ms"]);
        for id in exclude {
            command.arg("--exclude").arg(id);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("starting `tcptrace watch`")?;
        let stdout = child.stdout.take().context("the watcher's output")?;
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(record) = serde_json::from_str(&line) else { break };
                if to.send(record).is_err() {
                    break;
                }
            }
        });
        let mut watcher = Self { child, lines };
        let Some(start) = watcher.receive(PATIENCE) else { return Err(watcher.failed()) };
        if start["type"] != "start" {
            bail!("the watcher began with {start}");
        }
        Ok(watcher)
    }

    /// The next finding, if one comes within `patience`.
    pub(super) fn next(&mut self, patience: Duration) -> Result<Option<Value>> {
        let until = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(record) if record["type"] == "finding" => return Ok(Some(record)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed()),
            }
        }
    }

    /// Ends the watcher; the findings it still had. Its losses must be none.
    pub(super) fn stop(mut self) -> Result<Vec<Value>> {
        let pid = i32::try_from(self.child.id()).context("the watcher's process id")?;
        kill(Pid::from_raw(pid), Signal::SIGINT).context("ending the watcher")?;
        let mut findings = Vec::new();
        while let Some(record) = self.receive(PATIENCE) {
            match record["type"].as_str() {
                Some("finding") => findings.push(record),
                Some("stop") => {
                    let lost = record["lost"].as_object().is_some_and(|causes| {
                        causes.values().any(|count| count.as_u64() != Some(0) && !count.is_object())
                    });
                    if lost {
                        bail!("the watcher lost records: {}", record["lost"]);
                    }
                    return Ok(findings);
                }
                _ => {}
            }
        }
        Err(self.failed())
    }

    fn receive(&self, patience: Duration) -> Option<Value> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Why there is no watcher any more.
    fn failed(&mut self) -> anyhow::Error {
        let mut said = String::new();
        let status = self.child.kill().and_then(|()| self.child.wait());
        if let Some(mut stderr) = self.child.stderr.take() {
            // What it said is best effort: the error is that it ended.
            let _ = stderr.read_to_string(&mut said);
        }
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("`tcptrace watch` ended ({status}): {}", said.trim())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
