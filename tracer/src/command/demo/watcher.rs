//! An ordinary `tcptrace watch --json`, read line by line.

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long the watcher may take to attach, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A record, and when its line could be read.
#[derive(Clone, Debug)]
pub struct Told {
    /// The record.
    pub record: Value,
    /// When it had arrived.
    pub at: Instant,
}

/// A running watcher; ended when dropped.
pub struct Watcher {
    child: Child,
    lines: Receiver<Told>,
}

impl Watcher {
    /// Starts `program watch --json` with these flags besides, and returns when every probe is attached.
    ///
    /// # Errors
    /// When it does not start, or begins with anything but a `start` record.
    pub fn start(program: &Path, flags: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["watch", "--json", "--min-severity", "info"]).args(flags);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("starting `tcptrace watch`")?;
        let stdout = child.stdout.take().context("the watcher's output")?;
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let at = Instant::now();
                let Ok(record) = serde_json::from_str(&line) else { break };
                if to.send(Told { record, at }).is_err() {
                    break;
                }
            }
        });
        let mut watcher = Self { child, lines };
        let Some(Told { record: start, .. }) = watcher.receive(PATIENCE) else {
            return Err(watcher.failed());
        };
        if start["type"] != "start" {
            bail!("the watcher began with {start}");
        }
        Ok(watcher)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next finding, if one comes within `patience`.
    ///
    /// # Errors
    /// When the watcher has ended.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Told>> {
        let until = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(told) if told.record["type"] == "finding" => return Ok(Some(told)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(self.failed()),
            }
        }
    }

    /// Ends the watcher; the findings it still had, and its `stop` record.
    ///
    /// # Errors
    /// When it does not end in good order.
    pub fn stop(mut self) -> Result<(Vec<Told>, Value)> {
        let pid = i32::try_from(self.child.id()).context("the watcher's process id")?;
        kill(Pid::from_raw(pid), Signal::SIGINT).context("ending the watcher")?;
        let mut findings = Vec::new();
        while let Some(told) = self.receive(PATIENCE) {
            match told.record["type"].as_str() {
                Some("finding") => findings.push(told),
                Some("stop") => return Ok((findings, told.record)),
                _ => {}
            }
        }
        Err(self.failed())
    }

    fn receive(&self, patience: Duration) -> Option<Told> {
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

/// How many records were lost, as a `stop` record says, whatever the cause.
pub fn lost(stop: &Value) -> u64 {
    lost_by_cause(stop).values().sum()
}

/// How many records were lost for each cause for which some were, as a `stop` record says.
pub fn lost_by_cause(stop: &Value) -> BTreeMap<String, u64> {
    let causes = stop["lost"].as_object().into_iter().flatten();
    causes
        .filter_map(|(cause, count)| Some((cause.clone(), count.as_u64().filter(|count| *count > 0)?)))
        .collect()
}
