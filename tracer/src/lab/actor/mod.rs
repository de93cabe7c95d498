//! An actor: a process of its own that makes the socket calls it is asked for, one at a time, and tells how each ended.

mod call;
mod calls;
mod option;
mod process;
mod table;
mod turn;

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use call::{Call, Direction, Domain, Fd, SocketOption};
pub use calls::Started;
pub use nix::sys::epoll::EpollFlags as Events;
pub use process::run;

use super::namespace::Namespace;
use call::{Answer, Request};
use turn::Turn;

/// How long a call may take before the scenario is told to hang.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long an actor may take to end once it was let go.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The program that plays actors, with the arguments that make it do so.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    /// A program that calls [`run`] when started with these arguments.
    pub fn new(path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self { path: path.into(), arguments: arguments.iter().map(|&a| a.to_owned()).collect() }
    }

    /// The program that is running, with these arguments.
    #[must_use]
    pub fn this(arguments: &[&str]) -> Self {
        Self::new("/proc/self/exe", arguments)
    }
}

/// Why a call of an actor has no value.
#[derive(Debug, Error)]
pub enum CallError {
    /// The system call failed.
    #[error("{actor}: {call:?}: {errno:?}")]
    Errno {
        /// Who called.
        actor: String,
        /// What was called.
        call: Call,
        /// How it failed.
        errno: Errno,
    },
    /// The scenario is broken: the actor hangs, has ended, or was asked something senseless.
    #[error("{actor}: {request}: {problem}")]
    Broken {
        /// Who was asked.
        actor: String,
        /// For what.
        request: String,
        /// What is wrong.
        problem: String,
    },
}

impl CallError {
    /// The errno, when it was the system call that failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Errno { errno, .. } => Some(*errno),
            Self::Broken { .. } => None,
        }
    }
}

/// The errno of a call that has to fail.
///
/// # Errors
/// When it succeeded, or the scenario is broken.
pub fn errno_of<T: fmt::Debug>(result: Result<T, CallError>) -> Result<Errno> {
    match result {
        Ok(value) => bail!("a call that has to fail returned {value:?}"),
        Err(CallError::Errno { errno, .. }) => Ok(errno),
        Err(broken) => Err(broken.into()),
    }
}

/// A process with a pid and a name of its own, inside one namespace. It ends when this value is dropped, and
/// when the process that holds this value ends.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    name: String,
    stream: BufReader<UnixStream>,
    /// Set when an answer is missing: the next line would belong to another request.
    broken: Option<String>,
}

impl Actor {
    /// Starts a process called `comm` (at most 15 bytes) inside `namespace`.
    ///
    /// # Errors
    /// When it cannot be started or does not report for duty.
    pub fn spawn(program: &Program, namespace: &Namespace, comm: &str) -> Result<Self> {
        let _turn = Turn::wait();
        let (ours, theirs) = UnixStream::pair().context("making the socket to an actor")?;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        // A child is born into the namespace of the thread that starts it.
        let child = namespace
            .enter(|| command.spawn().with_context(|| format!("starting {}", program.path.display())))?;
        drop(command);
        let name = format!("{comm}[{}]", child.id());
        let mut actor = Self { child, name, stream: BufReader::new(ours), broken: None };
        actor.ask::<u32>(&Request::Name(comm.to_owned()), None)?;
        Ok(actor)
    }

    /// Its process id, as the namespace of this process counts.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets SIGPIPE end the process; Rust programs ignore it otherwise.
    ///
    /// # Errors
    /// When the scenario is broken.
    pub fn default_sigpipe(&mut self) -> Result<(), CallError> {
        self.ask(&Request::DefaultSigpipe, None)
    }

    /// Lets the process open no descriptor with this number or a higher one (`RLIMIT_NOFILE`, the soft limit);
    /// the limit before.
    ///
    /// # Errors
    /// When the limit is above the hard one, or the scenario is broken.
    pub fn limit_descriptors(&mut self, limit: u64) -> Result<u64, CallError> {
        self.ask(&Request::DescriptorLimit(limit), None)
    }

    /// Lets the process end with this exit code.
    ///
    /// # Errors
    /// When it has not ended within 2 s.
    pub fn exit(mut self, code: i32) -> Result<ExitStatus> {
        self.tell(&Request::Exit(code))?;
        self.wait()
    }

    /// Lets the process abort itself, without a core dump.
    ///
    /// # Errors
    /// When it has not ended within 2 s.
    pub fn abort(mut self) -> Result<ExitStatus> {
        self.tell(&Request::Abort)?;
        self.wait()
    }

    /// Sends the process a signal.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        kill(pid, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Waits for the end of a process that ends by itself or by a signal.
    ///
    /// # Errors
    /// When it has not ended within 2 s.
    pub fn wait(mut self) -> Result<ExitStatus> {
        self.wait_end()
    }

    fn tell(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).with_context(|| format!("asking {}", self.name))
    }

    /// Sends a request and reads its answer; `call` is the system call that the answer is about.
    fn ask<T: DeserializeOwned>(&mut self, request: &Request, call: Option<Call>) -> Result<T, CallError> {
        let answer = match &self.broken {
            Some(problem) => Err(problem.clone()),
            None => {
                self.exchange(request, ANSWER_LIMIT + call.map_or(Duration::ZERO, |call| call.patience()))
            }
        };
        let broken = |problem: String| CallError::Broken {
            actor: self.name.clone(),
            request: call.map_or_else(|| format!("{request:?}"), |call| format!("{call:?}")),
            problem,
        };
        match (answer, call) {
            (Ok(Answer::Done(value)), _) => serde_json::from_value(value).map_err(|e| broken(e.to_string())),
            (Ok(Answer::Failed(number)), Some(call)) => {
                Err(CallError::Errno { actor: self.name.clone(), call, errno: Errno::from_raw(number) })
            }
            (Ok(Answer::Failed(number)), None) => Err(broken(format!("{:?}", Errno::from_raw(number)))),
            (Ok(Answer::Fault(problem)) | Err(problem), _) => Err(broken(problem)),
        }
    }

    fn exchange(&mut self, request: &Request, limit: Duration) -> Result<Answer, String> {
        let answer = self.tell(request).map_err(|error| format!("{error:#}")).and_then(|()| {
            self.stream.get_ref().set_read_timeout(Some(limit)).map_err(|error| error.to_string())?;
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => Err("the process has ended".to_owned()),
                Ok(_) => serde_json::from_str(&line).map_err(|error| error.to_string()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Err(format!("no answer within {limit:?}"))
                }
                Err(error) => Err(error.to_string()),
            }
        });
        if let Err(problem) = &answer {
            self.broken = Some(problem.clone());
        }
        answer
    }

    /// The end of the process closes its end of the socket: that is what is waited for.
    fn wait_end(&mut self) -> Result<ExitStatus> {
        self.stream.get_ref().set_read_timeout(Some(END_LIMIT)).context("setting a limit")?;
        match io::copy(&mut self.stream, &mut io::sink()) {
            Ok(_) => {}
            // It ended with a request unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error).with_context(|| format!("{} does not end", self.name)),
        }
        self.child.wait().with_context(|| format!("waiting for the end of {}", self.name))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        _ = self.stream.get_ref().shutdown(Shutdown::Write);
        if self.wait_end().is_err() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}
