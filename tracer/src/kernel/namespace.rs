//! Network namespaces: which there are, and how to look into one.

mod sock_diag;
#[cfg(test)]
pub(super) mod tests;

pub use sock_diag::{Answer, Leaving, Listening, NoTcpDiag, Query, SockDiag};

use crate::event::{Cookie, Presence};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use std::{
    collections::HashSet,
    ffi::OsString,
    fmt,
    fs::{self, File},
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    thread,
};
use tracer_common::{State, record::socket::Tuple};

/// The mounts that this thread sees.
const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// A network namespace, held open: it lives at least as long as this.
#[derive(Debug)]
pub struct Namespace {
    /// Its inode number, which the kernel calls `net->ns.inum`.
    pub inum: u32,
    /// What it was found by.
    pub name: Name,
    file: File,
}

/// By what a namespace was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A process that is, or was, in it.
    Pid(u32),
    /// A file it is mounted on.
    Path(PathBuf),
}

/// All network namespaces that were found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// One for each inode, by rising inode.
    pub namespaces: Vec<Namespace>,
    /// Processes and mounts that could not be looked at for want of rights or of descriptors: their namespaces may be
    /// missing above.
    pub hidden: usize,
}

impl Namespace {
    /// That of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn own() -> Result<Self> {
        let name = Name::Pid(std::process::id());
        let opened = Self::open_as(Path::new("/proc/thread-self/ns/net"), name, |_| false);
        opened.context("opening this thread's network namespace")
    }

    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked at.
    pub fn of_process(pid: u32) -> Result<Self> {
        let opened = Self::open_as(&process_path(pid), Name::Pid(pid), |_| false);
        opened.with_context(|| format!("opening the network namespace of process {pid}"))
    }

    /// That which is mounted on, or linked to by, a file.
    ///
    /// # Errors
    /// When the file cannot be opened, or is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let is_mounted = |inode| {
            let mounts = fs::read(MOUNTS).unwrap_or_default();
            mounted(&mounts).any(|(mounted, _)| mounted == inode)
        };
        let opened = Self::open_as(path, Name::Path(path.to_owned()), is_mounted);
        opened.with_context(|| format!("opening {} as a network namespace", path.display()))
    }

    fn open_as(path: &Path, name: Name, is_mounted: impl FnOnce(u32) -> bool) -> io::Result<Self> {
        let file = File::open(path)?;
        // What was opened, not what is there now. Behind a link the descriptor says its kind; opened by its mount it
        // says its path, but the inode is no other namespace's.
        let link = fs::read_link(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))?;
        let mounted = || {
            let inode = u32::try_from(file.metadata().ok()?.ino()).ok()?;
            let is_namespace = fstatfs(&file).ok()?.filesystem_type() == NSFS_MAGIC;
            (is_namespace && is_mounted(inode)).then_some(inode)
        };
        let inum = link.to_str().and_then(inode_in_link).or_else(mounted);
        let inum =
            inum.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no network namespace"))?;
        Ok(Self { inum, name, file })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Every network namespace that has a process or a mount in sight of this thread. One that is held by nothing but a
/// descriptor, a socket or a thread beside its process's first is not found. Each takes a descriptor;
/// those that are `known` and still in sight stay open as they are.
///
/// # Errors
/// When `/proc` cannot be read. What vanishes meanwhile is no error.
pub fn discover(known: impl IntoIterator<Item = Namespace>) -> Result<Discovery> {
    let own =
        fs::metadata("/proc/thread-self/ns/net").context("looking at this thread's network namespace")?;
    let mut search = Search {
        device: own.dev(),
        known: known.into_iter().map(|namespace| (namespace.inum.into(), namespace)).collect(),
        seen: HashSet::new(),
        found: Discovery::default(),
    };
    let mounts = fs::read(MOUNTS).context("reading the mounts")?;
    for (inode, path) in mounted(&mounts) {
        search.consider(&path, Name::Path(path.clone()), |opened| opened == inode);
    }
    for entry in fs::read_dir("/proc").context("reading the processes")? {
        let name = entry.context("reading the processes")?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            search.consider(&process_path(pid), Name::Pid(pid), |_| false);
        }
    }
    search.found.namespaces.sort_unstable_by_key(|namespace| namespace.inum);
    Ok(search.found)
}

/// A search for namespaces that runs.
struct Search {
    /// The number of the filesystem that all namespaces are files of.
    device: u64,
    /// Those that were open before and are not found yet, by inode.
    known: HashMap<u64, Namespace>,
    /// The inodes of those that were found.
    seen: HashSet<u64>,
    found: Discovery,
}

impl Search {
    fn consider(&mut self, path: &Path, name: Name, is_mounted: impl FnOnce(u32) -> bool) {
        // Asking for the inode first opens one file for each namespace, not for each process.
        let opened = fs::metadata(path).and_then(|metadata| {
            if self.seen.contains(&metadata.ino()) {
                return Ok(None);
            }
            // As long as it is open no other one has its inode.
            let known = (metadata.dev() == self.device).then(|| self.known.remove(&metadata.ino())).flatten();
            match known {
                Some(known) => Ok(Some(Namespace { name, ..known })),
                None => Namespace::open_as(path, name, is_mounted).map(Some),
            }
        });
        match opened {
            Ok(Some(namespace)) if self.seen.insert(namespace.inum.into()) => {
                self.found.namespaces.push(namespace);
            }
            Err(error) if is_refused(&error) => self.found.hidden += 1,
            // Seen, or gone meanwhile, or something else is mounted above it.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Does some work on a thread of its own inside a namespace, and waits for it. Sockets made there stay there.
///
/// # Errors
/// When the namespace is another and may not be entered (`CAP_SYS_ADMIN`), or no thread can be made.
///
/// # Panics
/// When the work does.
pub fn enter<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    let inside = || match setns(&namespace.file, CloneFlags::CLONE_NEWNET) {
        // The kernel does not ask whether a thread is there already.
        Err(Errno::EPERM) if Namespace::own().is_ok_and(|own| own.inum == namespace.inum) => Ok(work()),
        entered => entered.map(|()| work()),
    };
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, inside)?;
        io::Result::Ok(thread.join())
    });
    let result = result.context("starting a thread for a network namespace")?;
    let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    result.with_context(|| format!("entering the network namespace of {}", namespace.name))
}

/// Looks for sockets of the namespace of the calling thread, each by its addresses and the cookie, if it has one. All are unknown where
/// the kernel has no [`SockDiag`].
pub fn sockets(asked: &[(Cookie, Tuple)]) -> Vec<(Cookie, Presence)> {
    let mut diag = SockDiag::open();
    let mut look = |cookie: Cookie, tuple: &Tuple| match &mut diag {
        Ok(diag) => presence(diag, tuple, cookie.of_kernel()),
        Err(_) => Presence::Unknown,
    };
    asked.iter().map(|(cookie, tuple)| (*cookie, look(*cookie, tuple))).collect()
}

/// The addresses of the namespace of the calling thread.
///
/// # Errors
/// When the kernel does not tell.
pub fn addresses() -> Result<HashSet<IpAddr>> {
    let all = getifaddrs().context("reading the addresses of a namespace")?;
    Ok(all
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        })
        .collect())
}

/// Looks for any socket with these addresses in the namespace in which `diag` was opened.
pub fn any_socket(diag: &mut SockDiag, tuple: &Tuple) -> Presence {
    presence(diag, tuple, None)
}

fn presence(diag: &mut SockDiag, tuple: &Tuple, cookie: Option<u64>) -> Presence {
    let (local, remote) = (tuple.local_address(), tuple.remote_address());
    match diag.ask(&Query { local, remote, interface: 0, cookie }) {
        Ok(Answer::Gone) => Presence::Gone,
        Ok(Answer::State { state, held, minisock, .. }) => match State::from_number(state) {
            // Orphans, which nobody holds either, are in other states.
            Some(State::Established | State::CloseWait) if !held && !minisock => Presence::Queued,
            Some(State::FinWait1 | State::Closing | State::LastAck) if held => Presence::Held,
            state => state.map_or(Presence::Unknown, Presence::In),
        },
        Err(_) => Presence::Unknown,
    }
}

fn process_path(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// For want of rights, or of descriptors.
fn is_refused(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EACCES | Errno::EPERM | Errno::EMFILE | Errno::ENFILE))
}

/// `net:[4026531840]`
fn inode_in_link(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Inodes of the network namespaces that are mounted, and where, from a `mountinfo` as `proc_pid_mountinfo(5)`
/// describes it.
fn mounted(mountinfo: &[u8]) -> impl Iterator<Item = (u32, PathBuf)> + '_ {
    mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let inode = inode_in_link(str::from_utf8(fields.nth(3)?).ok()?)?;
        let path = unescaped(fields.next()?);
        // Any number of optional fields, then a dash, then the type.
        fields.find(|field| *field == b"-")?;
        (fields.next() == Some(b"nsfs")).then_some((inode, path))
    })
}

/// Blanks, newlines and backslashes are written `\040` and so on.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| str::from_utf8(after.get(..3)?).ok()).flatten();
        if let Some(byte) = octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            path.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            path.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(path).into()
}
