//! The network namespaces of the host, and exact questions about their sockets.

use crate::event::{Cookie, Presence};
use anyhow::{Context, Result, anyhow, bail};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};
use tracer_common::{State, record::socket::Tuple};

/// Numbers from here on name a namespace, smaller ones a process: `PROC_DYNAMIC_FIRST`.
/// <https://github.com/torvalds/linux/blob/v6.12/fs/proc/generic.c#L205>
pub const FIRST_INODE: u32 = 0xf000_0000;

/// A network namespace, kept open.
#[derive(Debug)]
pub struct Namespace {
    /// What the kernel calls `ns.inum`.
    pub inum: u32,
    /// Where it was found.
    pub path: PathBuf,
    handle: File,
}

impl Namespace {
    /// The namespace that a path leads to (`/run/netns/NAME`, `/proc/PID/ns/net`).
    ///
    /// # Errors
    /// When there is no such file, or it is no network namespace.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let handle = File::open(path).with_context(|| format!("opening the network namespace {shown}"))?;
        let kind = nix::sys::statfs::fstatfs(&handle).with_context(|| format!("asking about {shown}"))?;
        if kind.filesystem_type() != nix::sys::statfs::NSFS_MAGIC {
            bail!("{shown} is no network namespace");
        }
        let inum = u32::try_from(handle.metadata()?.ino()).context("the number of a namespace")?;
        Ok(Self { inum, path: path.to_owned(), handle })
    }

    /// The namespace of a process.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked at.
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::open(&PathBuf::from(format!("/proc/{pid}/ns/net")))
    }
}

/// Every namespace in which a process runs or that is mounted somewhere. One that vanishes meanwhile is left out.
///
/// # Errors
/// When /proc cannot be read.
pub fn all() -> Result<Vec<Namespace>> {
    let mut found: BTreeMap<u32, Namespace> = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let path = entry.context("reading /proc")?.path();
        let process =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let link = path.join("ns/net");
        // Read as a link first: that opens nothing, and most processes share a namespace.
        let inum = fs::read_link(&link).ok().filter(|_| process).and_then(|target| inode_of(&target));
        if let Some(inum) = inum.filter(|inum| !found.contains_key(inum)) {
            found.extend(
                Namespace::open(&link).ok().filter(|namespace| namespace.inum == inum).map(|n| (inum, n)),
            );
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in mounts.lines().filter_map(mounted_namespace) {
        found.extend(Namespace::open(&path).ok().map(|namespace| (namespace.inum, namespace)));
    }
    Ok(found.into_values().collect())
}

/// `net:[4026531840]`
fn inode_of(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The mount point of a line of mountinfo that mounts a network namespace.
fn mounted_namespace(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    (root.starts_with("net:[") && line.contains(" - nsfs ")).then(|| PathBuf::from(point))
}

/// Does `work` in a namespace, on a thread of its own: no other ever finds itself there.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn enter<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    let done = thread::scope(|scope| {
        let inside = || {
            setns(&namespace.handle, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("entering the network namespace {}", namespace.path.display()))?;
            Ok(work())
        };
        scope.spawn(inside).join()
    });
    done.map_err(|_| anyhow!("the work inside a network namespace panicked"))?
}

/// Looks for sockets of the namespace of the calling thread, each by its addresses and cookie.
pub fn sockets(asked: &[(Cookie, Tuple)]) -> Vec<(Cookie, Presence)> {
    let Ok(diag) = Diag::open() else {
        return asked.iter().map(|(cookie, _)| (*cookie, Presence::Unknown)).collect();
    };
    asked
        .iter()
        .map(|(cookie, tuple)| (*cookie, diag.ask(*cookie, tuple).unwrap_or(Presence::Unknown)))
        .collect()
}

/// A `sock_diag` socket; it answers for the namespace it was opened in.
struct Diag(Socket);

impl Diag {
    fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening sock_diag")?;
        socket.bind_auto().context("binding sock_diag")?;
        socket.connect(&SocketAddr::new(0, 0)).context("connecting sock_diag to the kernel")?;
        Ok(Self(socket))
    }

    /// The state of the socket with this cookie. A TIME_WAIT remainder is told by its sub-state.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_diag.c#L393-L430>
    fn ask(&self, cookie: Cookie, tuple: &Tuple) -> Result<Presence> {
        let (local, remote) = (tuple.local_address(), tuple.remote_address());
        let request = InetRequest {
            family: if local.is_ipv4() { AF_INET } else { AF_INET6 },
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: SocketId {
                source_port: local.port(),
                destination_port: remote.port(),
                source_address: local.ip(),
                destination_address: remote.ip(),
                interface_id: 0,
                cookie: cookie.0.to_ne_bytes(),
            },
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.0.send(&bytes, 0).context("asking sock_diag")?;
        let (answer, _) = self.0.recv_from_full().context("reading the answer of sock_diag")?;
        let answer =
            NetlinkMessage::<SockDiagMessage>::deserialize(&answer).context("decoding the answer")?;
        Ok(match answer.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                State::from_number(response.header.state).map_or(Presence::Unknown, Presence::In)
            }
            // No such addresses, or another socket has them by now.
            NetlinkPayload::Error(error)
                if [Errno::ENOENT, Errno::ESTALE].iter().any(|gone| error.raw_code() == -(*gone as i32)) =>
            {
                Presence::Gone
            }
            _ => Presence::Unknown,
        })
    }
}
