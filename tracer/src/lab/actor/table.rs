//! The sockets of an actor's process, and the system calls made on them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use serde_json::{Value, json};
use socket2::{Domain as SocketDomain, SockAddr, Socket, Type};

use super::call::{Answer, Call, Direction, Domain, Fd};
use super::option;

/// The sockets of the actor; those that a call in progress uses are shared with its thread.
#[derive(Clone, Default)]
pub(super) struct Table {
    sockets: Arc<Mutex<HashMap<Fd, Arc<Socket>>>>,
}

/// Why a request has no value to answer with.
enum Failure {
    /// The system call failed.
    Errno(i32),
    /// There was nothing to call.
    Fault(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Fault(error.to_string()), Self::Errno)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno as i32)
    }
}

impl Table {
    /// Makes the call.
    pub(super) fn answer(&self, call: Call) -> Answer {
        match self.make(call) {
            Ok(value) => Answer::Done(value),
            Err(Failure::Errno(errno)) => Answer::Failed(errno),
            Err(Failure::Fault(text)) => Answer::Fault(text),
        }
    }

    fn sockets(&self) -> MutexGuard<'_, HashMap<Fd, Arc<Socket>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, fd: Fd) -> Result<Arc<Socket>, Failure> {
        self.sockets().get(&fd).cloned().ok_or_else(|| Failure::Fault(format!("{fd:?} is not open")))
    }

    fn add(&self, socket: Socket) -> Fd {
        let fd = Fd(socket.as_raw_fd());
        self.sockets().insert(fd, Arc::new(socket));
        fd
    }

    fn make(&self, call: Call) -> Result<Value, Failure> {
        let nothing = Value::Null;
        Ok(match call {
            Call::Socket(domain) => json!(self.add(socket(domain, Type::STREAM)?)),
            Call::Datagram(domain) => json!(self.add(socket(domain, Type::DGRAM)?)),
            Call::Bind(fd, address) => {
                self.get(fd)?.bind(&address.into())?;
                nothing
            }
            Call::Listen(fd, backlog) => {
                self.get(fd)?.listen(backlog)?;
                nothing
            }
            Call::Accept(fd) => {
                let (socket, address) = self.get(fd)?.accept()?;
                json!((self.add(socket), address.as_socket()))
            }
            Call::Connect(fd, address) => {
                self.get(fd)?.connect(&address.into())?;
                nothing
            }
            Call::LocalAddress(fd) => inet(&self.get(fd)?.local_addr()?),
            Call::PeerAddress(fd) => inet(&self.get(fd)?.peer_addr()?),
            Call::Send { fd, bytes, no_signal } => {
                let flags = if no_signal { libc::MSG_NOSIGNAL } else { 0 };
                json!(self.get(fd)?.send_with_flags(&vec![b'x'; bytes], flags)?)
            }
            Call::SendFile { fd, bytes } => json!(send_file(&*self.get(fd)?, bytes)?),
            Call::Splice { fd, bytes } => json!(splice_from_pipe(&*self.get(fd)?, bytes)?),
            Call::Recv { fd, bytes, peek, dont_wait } => {
                let flags =
                    if peek { libc::MSG_PEEK } else { 0 } | if dont_wait { libc::MSG_DONTWAIT } else { 0 };
                json!(self.get(fd)?.recv_with_flags(&mut vec![MaybeUninit::uninit(); bytes], flags)?)
            }
            Call::Shutdown(fd, direction) => {
                self.get(fd)?.shutdown(match direction {
                    Direction::Read => Shutdown::Read,
                    Direction::Write => Shutdown::Write,
                    Direction::Both => Shutdown::Both,
                })?;
                nothing
            }
            Call::Close(fd) => {
                self.close(fd)?;
                nothing
            }
            Call::Set(fd, option) => {
                option::set(&*self.get(fd)?, option)?;
                nothing
            }
            Call::SetOnClosed(fd) => {
                option::set_on_closed(self.get(fd)?.try_clone()?)?;
                nothing
            }
            Call::SetOnFile => {
                option::set_on_file()?;
                nothing
            }
            Call::GetUnknownLevel(fd) => json!(option::get_unknown_level(&*self.get(fd)?)?),
            Call::TakeError(fd) => json!(self.get(fd)?.take_error()?.and_then(|error| error.raw_os_error())),
            Call::Poll { fd, events, limit } => json!(wait_for(&*self.get(fd)?, events, limit)?),
            Call::Duplicate(fd) => json!(self.add(self.get(fd)?.try_clone()?)),
        })
    }

    fn close(&self, fd: Fd) -> Result<(), Failure> {
        let mut sockets = self.sockets();
        let socket = sockets.remove(&fd).ok_or_else(|| Failure::Fault(format!("{fd:?} is not open")))?;
        match Arc::try_unwrap(socket) {
            Ok(socket) => {
                // SO_LINGER can make close wait, and others may go on meanwhile.
                drop(sockets);
                Ok(nix::unistd::close(OwnedFd::from(socket))?)
            }
            Err(shared) => {
                sockets.insert(fd, shared);
                Err(Failure::Fault(format!("a call on {fd:?} is in progress")))
            }
        }
    }
}

fn socket(domain: Domain, kind: Type) -> std::io::Result<Socket> {
    let domain = if domain == Domain::V4 { SocketDomain::IPV4 } else { SocketDomain::IPV6 };
    Socket::new(domain, kind, None)
}

fn send_file(socket: &Socket, bytes: usize) -> std::io::Result<usize> {
    let file = File::from(memfd_create(c"reply", MFdFlags::MFD_CLOEXEC)?);
    (&file).write_all(&vec![b'x'; bytes])?;
    Ok(sendfile(socket, &file, Some(&mut 0), bytes)?)
}

fn splice_from_pipe(socket: &Socket, bytes: usize) -> std::io::Result<usize> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(&vec![b'x'; bytes])?;
    Ok(splice(reader, None, socket, None, bytes, SpliceFFlags::empty())?)
}

fn inet(address: &SockAddr) -> Value {
    json!(address.as_socket())
}

/// Through epoll, because nix's poll does not know `POLLRDHUP`.
fn wait_for(socket: &Socket, events: i32, limit: Duration) -> Result<i32, Failure> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(socket, EpollEvent::new(EpollFlags::from_bits_truncate(events), 0))?;
    let mut ready = [EpollEvent::empty()];
    let limit = EpollTimeout::try_from(limit).map_err(|error| Failure::Fault(error.to_string()))?;
    let count = epoll.wait(&mut ready, limit)?;
    Ok(if count == 0 { 0 } else { ready[0].events().bits() })
}
