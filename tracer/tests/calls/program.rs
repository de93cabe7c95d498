//! The C program of these tests: built once, started inside a namespace, and what it says of its calls.

use super::support::Namespace;
use nix::errno::Errno;
use serde_json::Value;
use socket2::SockRef;
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// A program that has not connected by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
/// A port of loopback on which nothing listens.
pub(crate) const CLOSED: u16 = 7;

/// What is on the other side of the program's connection.
#[derive(Clone, Copy)]
pub(crate) enum Peer {
    /// Nothing, and no connection.
    None,
    /// Reads to the end, and closes.
    Reads,
    /// Closes with unread data, which is a RST.
    Resets,
}

/// A run of the program, which is over.
pub(crate) struct Run {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatus,
    /// What it told: calls with their errno, and counts.
    pub(crate) told: Vec<(String, i32)>,
    /// Why it could not do what was asked.
    pub(crate) skipped: Option<String>,
}

impl Run {
    /// Starts the program inside a namespace, with the port of its peer as the second argument, and waits for its end.
    pub(crate) fn new(namespace: &Namespace, name: &str, peer: Peer, arguments: &[&str]) -> Self {
        let program = program();
        let mut run = None;
        namespace.run(|| {
            let listener = (!matches!(peer, Peer::None))
                .then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port that is free"));
            let port = listener.as_ref().map_or(CLOSED, |listener| {
                SockRef::from(listener).set_read_timeout(Some(PATIENCE)).expect("a listener");
                listener.local_addr().expect("an address").port()
            });
            let mut command = Command::new(program);
            command.arg(name).arg(port.to_string()).args(arguments);
            let child =
                command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program runs");
            let pid = child.id();
            if let Some(listener) = listener {
                let (stream, _) = listener.accept().expect("the program connects");
                end(stream, peer);
            }
            // It ends by itself: by its alarm, if by nothing else.
            let output = child.wait_with_output().expect("it ends");
            run = Some(Self::read(pid, output.status, &String::from_utf8(output.stdout).expect("text")));
        });
        run.expect("it ran")
    }

    fn read(pid: u32, status: ExitStatus, said: &str) -> Self {
        let (mut told, mut skipped) = (Vec::new(), None);
        for line in said.lines() {
            match line.split_once(' ').expect("two words") {
                ("SKIP", why) => skipped = Some(why.to_owned()),
                (call, number) => told.push((call.to_owned(), number.parse().expect("a number"))),
            }
        }
        Self { pid, status, told, skipped }
    }

    /// Whether the test cannot go on here; it says why.
    pub(crate) fn skips(&self, test: &str) -> bool {
        if let Some(why) = &self.skipped {
            println!("SKIP {test}: {why}");
        }
        self.skipped.is_some()
    }

    /// What it told, with errnos by name.
    pub(crate) fn calls(&self) -> Vec<(&str, String)> {
        self.told.iter().map(|(call, errno)| (call.as_str(), name(*errno))).collect()
    }

    /// A number that is no errno.
    pub(crate) fn count(&self, what: &str) -> i32 {
        let found = self.told.iter().find(|(call, _)| call == what);
        found.unwrap_or_else(|| panic!("no {what}: {:?}", self.told)).1
    }

    /// Fails unless it came to its own end.
    pub(crate) fn assert_lived(&self) {
        assert!(self.status.success(), "{}: {:?}", self.status, self.told);
    }

    /// Fails unless a finding is about this process, and about this errno as one of its calls returned it.
    pub(crate) fn assert_observed(&self, finding: &Value, errno: &str) {
        self.assert_about(finding);
        assert_eq!(finding["errno"], errno, "{finding}");
        assert_eq!(finding["errno_source"], "observed", "{finding}");
    }

    /// Fails unless a finding is about this process.
    pub(crate) fn assert_about(&self, finding: &Value) {
        assert_eq!(finding["process"]["pid"], self.pid, "{finding}");
        assert_eq!(finding["process"]["comm"], "calls", "{finding}");
        assert_eq!(finding["complete"], true, "{finding}");
    }
}

/// The name of an errno; `0` is none.
fn name(errno: i32) -> String {
    if errno == 0 { "0".to_owned() } else { format!("{:?}", Errno::from_raw(errno)) }
}

/// The peer's part.
fn end(mut stream: TcpStream, peer: Peer) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a connection");
    match peer {
        Peer::None => {}
        Peer::Reads => {
            stream.read_to_end(&mut Vec::new()).expect("the program closes");
        }
        Peer::Resets => {
            stream.peek(&mut [0]).expect("the program writes");
        }
    }
}

/// A process that one test starts has every connection of the others until it executes its program, and would be the
/// one that closes them.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program, built from its sources at the first use.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        build("calls", &["-pthread"], &["calls.c", "uring.c"]).unwrap_or_else(|said| panic!("{said}"))
    })
}

/// The 32-bit program, or what the compiler said.
pub(crate) fn compat() -> Result<PathBuf, String> {
    let _alone = alone();
    build("compat", &["-m32", "-nostdlib", "-static", "-fno-stack-protector"], &["compat.c"])
}

fn build(name: &str, flags: &[&str], sources: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calls");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What another run executes is replaced, not overwritten.
    let new = place.with_extension(std::process::id().to_string());
    let mut command = Command::new("cc");
    command.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&new).args(flags);
    let output =
        command.args(sources.iter().map(|source| folder.join(source))).output().expect("there is a cc");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::rename(&new, &place).expect("the same folder");
    Ok(place)
}
