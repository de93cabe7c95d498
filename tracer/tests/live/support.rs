//! What live tests share: a namespace, a watcher, trouble to watch.

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};
use tracer::lab::{actor::Program, path::Side, world::World};

/// A watcher that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a live test cannot run here; it says why.
pub(crate) fn skipped(name: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        println!("SKIP {name}: loading BPF programs and making namespaces needs root");
    }
    !root
}

/// The program under test.
pub(crate) fn tcptrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcptrace"));
    command.args(arguments);
    command
}

/// A private network namespace with its loopback up.
pub(crate) struct Namespace(World);

impl Namespace {
    pub(crate) fn new() -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
        Self(World::new(program).expect("a network namespace"))
    }

    pub(crate) fn inode(&self) -> u32 {
        self.0.inodes()[0]
    }

    /// Changes a network sysctl of this namespace alone.
    pub(crate) fn set_sysctl(&self, name: &str, value: &str) {
        self.0.namespace(Side::A).set_sysctl(name, value).expect("a sysctl of the namespace");
    }

    /// Runs something inside, on a thread of its own.
    pub(crate) fn run(&self, work: impl FnOnce() + Send) {
        let inside = || {
            work();
            Ok(())
        };
        self.0.namespace(Side::A).enter(inside).expect("the namespace is there");
    }
}

/// Connects to a port of loopback on which nothing listens.
pub(crate) fn refuse_connection(port: u16) {
    let error = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("nothing listens there");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// A running `tcptrace watch --json`.
pub(crate) struct Watch {
    child: Child,
    lines: Option<Receiver<Value>>,
    start: Value,
}

impl Watch {
    /// Starts it for one namespace; every probe is attached when this returns.
    pub(crate) fn start(inode: u32, flags: &[&str]) -> Self {
        Self::everywhere(&[&["--netns", &inode.to_string()], flags].concat())
    }

    /// Starts it for all namespaces; every probe is attached when this returns.
    pub(crate) fn everywhere(flags: &[&str]) -> Self {
        let mut command = tcptrace(&["watch", "--json"]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("a pipe");
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                assert!(line.len() < 32 * 1024, "a line of {} bytes", line.len());
                if to.send(serde_json::from_str(&line).expect("every line is JSON")).is_err() {
                    return; // closes the pipe
                }
            }
        });
        let start: Value = lines.recv_timeout(PATIENCE).expect("a first record");
        assert_eq!(start["type"], "start", "{start}");
        Self { child, lines: Some(lines), start }
    }

    /// How a probe stands.
    pub(crate) fn probe(&self, name: &str) -> &Value {
        let probes = self.start["probes"].as_array().expect("a list");
        probes.iter().find(|probe| probe["name"] == name).expect("the probe")
    }

    /// Reads no further: the pipe closes at the next record.
    pub(crate) fn close_output(&mut self) {
        self.lines = None;
    }

    /// Ends it; its findings, and the record it ended with.
    pub(crate) fn stop(&mut self) -> (Vec<Value>, Value) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, Signal::SIGINT).expect("it runs");
        let mut findings = Vec::new();
        let lines = self.lines.as_ref().expect("somebody reads");
        loop {
            let record = lines.recv_timeout(PATIENCE).expect("a record");
            match record["type"].as_str() {
                Some("finding") => findings.push(record),
                Some("stop") => return (findings, record),
                _ => {}
            }
        }
    }

    /// Waits for its end; exit code and what it said.
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends").code(), said)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
