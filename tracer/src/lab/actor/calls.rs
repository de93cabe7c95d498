//! The calls of an actor as its parent makes them, typed, and those in progress on threads of their own.

use std::fs;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use serde::de::DeserializeOwned;

use super::call::Request;
use super::{ANSWER_LIMIT, Actor, Call, CallError, Direction, Domain, Events, Fd, SocketOption};

/// How often it is looked whether a thread has entered its call; nothing tells it.
const BLOCKED_PERIOD: Duration = Duration::from_millis(1);

/// A call in progress on a thread of the actor.
#[derive(Debug)]
#[must_use = "join it to learn how the call ended"]
pub struct Started<T> {
    tid: i32,
    call: Call,
    value: PhantomData<T>,
}

impl Actor {
    /// A new TCP socket.
    ///
    /// # Errors
    /// As every call: how the system call failed, or that the scenario is broken.
    pub fn socket(&mut self, domain: Domain) -> Result<Fd, CallError> {
        self.call(Call::Socket(domain))
    }

    /// `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn bind(&mut self, fd: Fd, address: SocketAddr) -> Result<(), CallError> {
        self.call(Call::Bind(fd, address))
    }

    /// `listen`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn listen(&mut self, fd: Fd, backlog: i32) -> Result<(), CallError> {
        self.call(Call::Listen(fd, backlog))
    }

    /// `accept4`: the connection and the client's address.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn accept(&mut self, fd: Fd) -> Result<(Fd, SocketAddr), CallError> {
        self.call(Call::Accept(fd))
    }

    /// `connect`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn connect(&mut self, fd: Fd, address: SocketAddr) -> Result<(), CallError> {
        self.call(Call::Connect(fd, address))
    }

    /// `getsockname`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn local_address(&mut self, fd: Fd) -> Result<SocketAddr, CallError> {
        self.call(Call::LocalAddress(fd))
    }

    /// `getpeername`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn peer_address(&mut self, fd: Fd) -> Result<SocketAddr, CallError> {
        self.call(Call::PeerAddress(fd))
    }

    /// `send` with `MSG_NOSIGNAL`: how many bytes were taken.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn send(&mut self, fd: Fd, bytes: usize) -> Result<usize, CallError> {
        self.call(Call::Send { fd, bytes, no_signal: true })
    }

    /// Makes a call whose SIGPIPE ends the process before it can answer; see [`Actor::default_sigpipe`].
    ///
    /// # Errors
    /// When the process cannot be asked any more.
    pub fn call_and_die(&mut self, call: Call) -> Result<()> {
        self.tell(&Request::Call(call))
    }

    /// `recv`: how many bytes came, 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn recv(&mut self, fd: Fd, bytes: usize) -> Result<usize, CallError> {
        self.call(Call::Recv { fd, bytes, peek: false, dont_wait: false })
    }

    /// `shutdown`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn shutdown(&mut self, fd: Fd, direction: Direction) -> Result<(), CallError> {
        self.call(Call::Shutdown(fd, direction))
    }

    /// `close`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn close(&mut self, fd: Fd) -> Result<(), CallError> {
        self.call(Call::Close(fd))
    }

    /// `setsockopt`.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn set(&mut self, fd: Fd, option: SocketOption) -> Result<(), CallError> {
        self.call(Call::Set(fd, option))
    }

    /// `getsockopt(SO_ERROR)`: the pending error, which the kernel then forgets.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn take_error(&mut self, fd: Fd) -> Result<Option<Errno>, CallError> {
        let number: Option<i32> = self.call(Call::TakeError(fd))?;
        Ok(number.map(Errno::from_raw))
    }

    /// Waits for `events`: those that hold, empty after `limit`. Errors and hang-ups are told in any case.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn poll(&mut self, fd: Fd, events: Events, limit: Duration) -> Result<Events, CallError> {
        let bits = self.call(Call::Poll { fd, events: events.bits(), limit })?;
        Ok(Events::from_bits_retain(bits))
    }

    /// A second descriptor for the same socket.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn duplicate(&mut self, fd: Fd) -> Result<Fd, CallError> {
        self.call(Call::Duplicate(fd))
    }

    /// Makes a call with every choice open; `T` is what the documentation of the [`Call`] tells.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    pub fn call<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, CallError> {
        self.ask(&Request::Call(call), Some(call))
    }

    /// Makes a call on a thread of its own, so that others can be made while it is in progress.
    ///
    /// # Errors
    /// When the scenario is broken.
    pub fn start<T: DeserializeOwned>(&mut self, call: Call) -> Result<Started<T>, CallError> {
        let tid = self.ask(&Request::Start(call), None)?;
        Ok(Started { tid, call, value: PhantomData })
    }

    /// Waits until the thread of a started call is inside it, which the kernel shows of threads that sleep.
    ///
    /// # Errors
    /// When that has not happened within 5 s: the call has already returned, or is not one on a socket.
    pub fn wait_blocked<T>(&self, started: &Started<T>) -> Result<()> {
        let fd = started.call.fd().context("only a call on a socket can be seen waiting")?;
        let path = format!("/proc/{}/task/{}/syscall", self.pid(), started.tid);
        let argument = format!("{:#x}", fd.0);
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            // "NUMBER ARGUMENT… SP PC", or "running" (proc_pid_syscall(5)).
            let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            if text.split_whitespace().nth(1) == Some(argument.as_str()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{}: {:?} does not wait: {}", self.name, started.call, text.trim_end());
            }
            thread::sleep(BLOCKED_PERIOD);
        }
    }

    /// How a started call ended.
    ///
    /// # Errors
    /// As [`Actor::socket`].
    #[expect(clippy::needless_pass_by_value, reason = "a call can be joined once")]
    pub fn join<T: DeserializeOwned>(&mut self, started: Started<T>) -> Result<T, CallError> {
        let Started { tid, call, .. } = started;
        self.ask(&Request::Join(tid), Some(call))
    }
}
