//! Benches of package tracer that are run as processes of their own: what they need no standard library has.

use crate::verb::build::cargo;
use anyhow::{Context as _, Result, ensure};
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// 100,000 sockets take some ten seconds.
const PATIENCE: Duration = Duration::from_mins(3);

/// Builds one, and says where it is: run by cargo, it would have to wait for every other cargo.
pub(crate) fn build(name: &str) -> Result<PathBuf> {
    let arguments = ["bench", "--package", "tracer", "--bench", name, "--no-run"];
    let mut command = cargo(&arguments);
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("running cargo")?;
    ensure!(output.status.success(), "the bench {name} does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).with_context(|| format!("cargo does not say where the bench {name} is"))
}

/// The bench in what cargo says, which builds tcptrace on the way.
fn executable(messages: &str) -> Option<PathBuf> {
    let bench = messages.lines().find(|line| line.contains("\"kind\":[\"bench\"]"))?;
    bench.split_once("\"executable\":\"")?.1.split('"').next().map(PathBuf::from)
}

/// Sockets to which nothing happens, in network namespaces of their own. They go when this is dropped, or this process ends
/// in any other way: theirs reads from it.
pub(crate) struct Sockets {
    process: Child,
}

impl Sockets {
    /// Makes them by the bench `sockets`, and returns when they are there.
    pub(crate) fn open(program: &Path, sockets: u32, namespaces: u32) -> Result<Self> {
        let mut command = Command::new(program);
        command.args([sockets.to_string(), namespaces.to_string()]);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.with_context(|| format!("running {}", program.display()))?;
        let output = process.stdout.take().context("the output was asked for")?;
        let sockets = Self { process };
        let (send, said) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // Nobody listens any more when it took too long.
            BufReader::new(output).read_line(&mut line).map(|_| send.send(line))
        });
        let line = said.recv_timeout(PATIENCE).context("making sockets takes too long")?;
        ensure!(line.contains(" sockets in "), "no sockets were made");
        eprintln!("bench: {}", line.trim_end());
        Ok(sockets)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        match self.process.wait() {
            Ok(status) if status.success() => {}
            ended => eprintln!("the process of the sockets: {ended:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_is_not_taken_for_tcptrace() {
        let messages = "{\"target\":{\"kind\":[\"lib\"]},\"executable\":null}\n\
                        {\"target\":{\"kind\":[\"bench\"],\"name\":\"sockets\"},\"executable\":\"/t/sockets\",\"fresh\":true}\n\
                        {\"target\":{\"kind\":[\"bin\"]},\"executable\":\"/t/tcptrace\",\"fresh\":true}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some("/t/sockets".into()));
        assert_eq!(executable("{\"reason\":\"build-finished\",\"success\":true}\n"), None);
    }
}
