//! Another tool that runs beside a storm.

use super::{
    super::{counts::Counts, machine, round::Beside, watcher::signal},
    programs,
    tool::{Tool, about_ports, lost_in},
};
use anyhow::{Context as _, Result, bail};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// bpftrace compiles its script first; each ends at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is given to be shown, before there is another one.
const SHOWN: Duration = Duration::from_millis(10);

/// A running tool; it is ended when this is dropped.
pub(super) struct Running {
    process: Child,
    /// Reads its output all the time, as fast as any program, and counts lines about the storm's ports.
    reader: Child,
    said: JoinHandle<Said>,
    /// Whether the run time of its programs is read at the end.
    timed: bool,
}

/// What a tool wrote to standard error.
#[derive(Default)]
struct Said {
    /// What it said that it lost.
    lost: f64,
    last: String,
}

impl Running {
    /// Starts it and waits until it shows connections: most tools do not say when they are attached.
    pub(super) fn start(tool: &Tool, ports: &[u16], timed: bool) -> Result<Self> {
        let mut process = tool.command()?.spawn().context("could not run unshare")?;
        let said = process.stderr.take().context("standard error was asked for")?;
        let said = thread::spawn(move || listen(said));
        let output = process.stdout.take().context("the output was asked for")?;
        let output = match ready(&mut process, output) {
            Ok(output) => output,
            Err(error) => {
                // Fails when it has ended already.
                let _ = process.kill();
                process.wait().context("waiting for its end")?;
                let said = said.join().unwrap_or_default();
                return Err(error.context(said.last));
            }
        };
        let mut grep = Command::new("grep");
        grep.args(["--count", "--extended-regexp", "--text", &about_ports(ports)]).env("LC_ALL", "C");
        let reader = grep.stdin(output).stdout(Stdio::piped()).spawn();
        match reader {
            Ok(reader) => Ok(Self { process, reader, said, timed }),
            Err(error) => {
                let _ = process.kill();
                process.wait().context("waiting for its end")?;
                Err(error).context("could not run grep")
            }
        }
    }
}

/// Makes connections until one is shown; the output from then on.
fn ready(process: &mut Child, output: ChildStdout) -> Result<ChildStdout> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    let address = listener.local_addr().context("asking for the port")?;
    let shown = find(output, address.port());
    let until = Instant::now() + PATIENCE;
    loop {
        let client = TcpStream::connect(address).context("connecting")?;
        let server = listener.accept().context("accepting")?;
        drop((client, server));
        match shown.recv_timeout(SHOWN) {
            Ok(output) => return Ok(output),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("it ended ({})", process.wait().context("waiting for its end")?)
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() > until => bail!("it shows no connection"),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Reads output until this port is in it, and then gives it back.
fn find(mut output: ChildStdout, port: u16) -> Receiver<ChildStdout> {
    let (send, found) = mpsc::channel();
    thread::spawn(move || {
        let mut block = [0; 8_192];
        while let Ok(length @ 1..) = output.read(&mut block) {
            if String::from_utf8_lossy(&block[..length]).contains(&port.to_string()) {
                // Nobody listens any more when patience is at its end.
                let _ = send.send(output);
                return;
            }
        }
    });
    found
}

fn listen(output: ChildStderr) -> Said {
    let mut said = Said::default();
    for line in BufReader::new(output).lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
        said.lost += lost_in(&line);
        said.last = line;
    }
    said
}

impl Beside for Running {
    fn cpu(&self) -> Result<Duration> {
        machine::cpu_of_process(self.process.id())
    }

    fn user_time(&self) -> Result<Duration> {
        machine::user_time(self.process.id())
    }

    fn reader(&self) -> Result<Duration> {
        machine::cpu_of_process(self.reader.id())
    }

    /// Lines shown as records delivered; what it says itself as lost.
    fn stop(mut self: Box<Self>) -> Result<Counts> {
        let pid = self.process.id();
        let probes = if self.timed { programs::of_process(pid)? } else { Vec::new() };
        signal("INT", pid)?;
        let mut output = self.reader.stdout.take().context("the output was asked for")?;
        let (send, counted) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            // Nobody listens any more when patience is at its end.
            let _ = send.send(output.read_to_string(&mut text).map(|_| text));
        });
        let counted =
            counted.recv_timeout(PATIENCE).context("it does not end")?.context("reading a count")?;
        let lines = counted.trim().parse().with_context(|| format!("grep said {counted:?}"))?;
        self.process.wait().context("waiting for its end")?;
        let ended = std::mem::replace(&mut self.said, thread::spawn(Said::default));
        let said = ended.join().unwrap_or_default();
        Ok(Counts { delivered: lines, lost: said.lost, probes, ..Counts::default() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // All fail when they have ended, as a rule.
        for process in [&mut self.process, &mut self.reader] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
