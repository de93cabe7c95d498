//! The C program of this test: built once, started inside a namespace, and what it says of its processes.

use super::support::Namespace;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Client,
    Server,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The client's port and the server's.
pub(crate) type Ports = (u64, u64);

/// A connection as the program describes it.
#[derive(Debug, Default)]
pub(crate) struct Label {
    pub(crate) kind: String,
    mode: String,
    /// Who uses each end, then who held it before.
    pub(crate) holders: BTreeMap<End, Vec<u64>>,
}

impl Label {
    /// The end whose call fails.
    pub(crate) fn victim(&self) -> End {
        if self.mode == "r" { End::Server } else { End::Client }
    }
}

/// The running program.
pub(crate) struct Load {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it; its old connections are there when this returns.
    pub(crate) fn start(namespace: &Namespace, each: usize) -> Self {
        Self::begin(namespace, &[&each.to_string()], || {})
    }

    /// Starts a process that waits to be refused, with something done first by the thread that starts it.
    pub(crate) fn refused(namespace: &Namespace, before: impl FnOnce() + Send) -> Self {
        Self::begin(namespace, &["refused", "7"], before)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn begin(namespace: &Namespace, arguments: &[&str], before: impl FnOnce() + Send) -> Self {
        let program = program();
        let mut started = None;
        namespace.run(|| {
            before();
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
            started = Some(command.spawn().expect("the program runs"));
        });
        let mut child = started.expect("it was started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n");
        Self { child, lines }
    }

    /// Lets it do its work, and waits for its end; its connections.
    pub(crate) fn run(mut self) -> BTreeMap<Ports, Label> {
        self.child.stdin.take().expect("a pipe").write_all(b"go").expect("it reads");
        let mut labels: BTreeMap<Ports, Label> = BTreeMap::new();
        for line in self.lines.by_ref().lines() {
            let line = line.expect("text");
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            let end = if word() == "client" { End::Client } else { End::Server };
            let label = labels.entry(ports(word())).or_default();
            let pids = word().split(',').map(|pid| pid.parse().expect("a process"));
            assert!(label.holders.insert(end, pids.collect()).is_none(), "a port twice: {line}");
            word().clone_into(&mut label.kind);
            if end == End::Client {
                word().clone_into(&mut label.mode);
            }
        }
        assert!(self.child.wait().expect("it ends").success(), "what it says is above");
        labels
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has ended already, as a rule; what it started ends by its alarm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ports(word: &str) -> Ports {
    let (client, server) = word.split_once('-').expect("two ports");
    (client.parse().expect("a port"), server.parse().expect("a port"))
}

fn program() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/owners/owners.c");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("owners");
    // What another run executes is replaced, not overwritten.
    let new = place.with_extension(std::process::id().to_string());
    let mut command = Command::new("cc");
    command
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .arg(&new)
        .arg(source);
    let output = command.output().expect("there is a cc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&new, &place).expect("the same folder");
    place
}
