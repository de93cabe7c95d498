//! A `tcptrace watch --json` that runs beside a storm.

use super::{counts::Counts, machine, round::Beside};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Attaching takes about a second on a slow machine, ending less.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon; it is ended when this is dropped.
pub(crate) struct Watcher {
    process: Child,
    lines: Receiver<String>,
}

impl Watcher {
    /// Starts it and waits until everything is attached.
    ///
    /// Its output goes through a pipe that is read all the time: healthy connections write nothing to it.
    pub(crate) fn start(program: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["watch", "--json"]).args(flags).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("could not run {}", program.display()))?;
        let output = process.stdout.take().context("the output was asked for")?;
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let watcher = Self { process, lines };
        let first = watcher.lines.recv_timeout(PATIENCE).context("tcptrace did not start to watch")?;
        ensure!(first.contains("\"type\":\"start\""), "tcptrace began with {first}");
        Ok(watcher)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Beside for Watcher {
    fn cpu(&self) -> Result<Duration> {
        machine::cpu_of_process(self.process.id())
    }

    fn user_time(&self) -> Result<Duration> {
        machine::user_time(self.process.id())
    }

    fn stop(mut self: Box<Self>) -> Result<Counts> {
        signal("TERM", self.process.id())?;
        let mut last = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => last = line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("tcptrace does not end"),
            }
        }
        let status = self.process.wait().context("waiting for tcptrace")?;
        ensure!(status.success(), "tcptrace failed ({status})");
        ensure!(last.contains("\"type\":\"stop\""), "tcptrace ended with {last:?}");
        Counts::parse(&last)
    }
}

/// Sends a signal: the standard library has none but SIGKILL, every POSIX shell has the others built in.
pub(crate) fn signal(name: &str, pid: u32) -> Result<()> {
    let kill = format!("kill -{name} {pid}");
    let sent = Command::new("sh").args(["-c", &kill]).status().context("could not run sh")?;
    ensure!(sent.success(), "could not send SIG{name} to process {pid}");
    Ok(())
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Both fail when it has ended, as a rule.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
