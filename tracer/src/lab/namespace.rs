//! A private network namespace: made by this process, held by a descriptor, gone with it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use tracer_common::State;

use super::diag::{Backlog, Report, SocketDiag};
use super::link::Links;

/// How often a state is asked for while it is awaited; the kernel offers no signal for a queued or parked socket.
const STATE_PERIOD: Duration = Duration::from_millis(1);

/// A network namespace without a name in the file system.
///
/// It lives as long as this value, a process in it, or a socket of it lives, so nothing is left behind when the
/// process that made it is killed.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
    inode: u32,
    diag: SocketDiag,
}

impl Namespace {
    /// Makes a namespace whose `lo` is still down.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or when the kernel has no network namespaces or no `sock_diag`.
    pub fn new() -> Result<Self> {
        let made = thread::scope(|scope| {
            // The thread that unshares ends here, so no other thread ever finds itself in the new namespace.
            scope
                .spawn(|| -> Result<Self> {
                    unshare(CloneFlags::CLONE_NEWNET)
                        .context("making a network namespace (this needs CAP_SYS_ADMIN)")?;
                    let handle =
                        File::open("/proc/thread-self/ns/net").context("opening the new namespace")?;
                    let inode = handle.metadata().context("reading the number of the new namespace")?.ino();
                    Ok(Self { handle, inode: u32::try_from(inode)?, diag: SocketDiag::open()? })
                })
                .join()
        });
        made.map_err(|_| anyhow!("the thread that makes a namespace panicked"))?
    }

    /// The number that the kernel calls `ns.inum` and `ls -L -i /proc/PID/ns/net` prints.
    pub fn inode(&self) -> u32 {
        self.inode
    }

    /// The descriptor of the namespace, for netlink messages that name it.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Does `work` inside the namespace, on a thread of its own; what it opens or starts there stays there.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or `work` fails.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.handle, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
                    work()
                })
                .join()
        });
        done.map_err(|_| anyhow!("the work inside a network namespace panicked"))?
    }

    /// Brings `lo` up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn raise_loopback(&self) -> Result<()> {
        let links = Links::open(self)?;
        links.set_up(links.index("lo")?)
    }

    /// Sets a network sysctl (`net.ipv4.tcp_fin_timeout`) in this namespace alone.
    ///
    /// # Errors
    /// When the kernel has no such sysctl per namespace, `/proc/sys` is read-only, or refuses the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = sysctl_path(name)?;
        self.enter(|| {
            // /proc/sys/net is that of whoever looks: from anywhere else the write would reach the host.
            let here = fs::metadata("/proc/thread-self/ns/net").context("looking where the thread is")?.ino();
            ensure!(here == u64::from(self.inode), "the thread is in namespace {here}, not {}", self.inode);
            fs::write(&path, value).with_context(|| format!("writing {value:?} to {path}"))
        })
    }

    /// Whether the kernel has this network sysctl, and has it per namespace.
    ///
    /// # Errors
    /// When it is no network sysctl, or `/proc/sys` cannot be read.
    pub fn has_sysctl(&self, name: &str) -> Result<bool> {
        let path = sysctl_path(name)?;
        self.enter(|| fs::exists(&path).with_context(|| format!("looking for {path}")))
    }

    /// Reads a network sysctl as this namespace sees it, without the newline.
    ///
    /// # Errors
    /// When the kernel has no such sysctl per namespace.
    pub fn sysctl(&self, name: &str) -> Result<String> {
        let path = sysctl_path(name)?;
        let text = self.enter(|| fs::read_to_string(&path).with_context(|| format!("reading {path}")))?;
        Ok(text.trim_end().to_owned())
    }

    /// The state of the socket with this tuple; `None` when there is none (IPv4-mapped addresses are IPv4).
    ///
    /// An orphan that the kernel parks as a small `TIME_WAIT` entry in `FIN_WAIT2` is told as `FIN_WAIT2`.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn socket_state(&self, local: SocketAddr, remote: SocketAddr) -> Result<Option<State>> {
        Ok(self.diag.find(local, remote)?.map(|report| report.state))
    }

    /// Kills the connection with this tuple as an administrator does with `ss --kill` (`SOCK_DESTROY`).
    ///
    /// # Errors
    /// When there is none, or the kernel was built without `CONFIG_INET_DIAG_DESTROY`.
    pub fn destroy(&self, local: SocketAddr, remote: SocketAddr) -> Result<()> {
        self.diag.destroy(local, remote).with_context(|| format!("killing {local} -> {remote}"))
    }

    /// Waits until the socket with this tuple is in `wanted` (`None`: there is no such socket any more).
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_state(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        wanted: Option<State>,
        limit: Duration,
    ) -> Result<()> {
        self.wait(local, remote, limit, |report| report.map(|report| report.state) == wanted)
            .with_context(|| format!("waiting for {wanted:?}"))
    }

    /// Waits until all that was written to the socket with this tuple has been acknowledged.
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_acknowledged(&self, local: SocketAddr, remote: SocketAddr, limit: Duration) -> Result<()> {
        self.wait(local, remote, limit, |report| report.is_some_and(|report| report.unacknowledged == 0))
            .context("waiting for acknowledgements")
    }

    /// Waits until the socket with this tuple probes a window that has no room for what it still has to send.
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_probing(&self, local: SocketAddr, remote: SocketAddr, limit: Duration) -> Result<()> {
        self.wait(local, remote, limit, |report| report.is_some_and(|report| report.probing))
            .context("waiting for a closed window")
    }

    /// Waits until the socket with this tuple has sent the same again so often in vain.
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_retransmits(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        times: u8,
        limit: Duration,
    ) -> Result<()> {
        self.wait(local, remote, limit, |report| report.is_some_and(|report| report.retransmits >= times))
            .context("waiting for retransmissions")
    }

    /// Waits until no further connection has room in the queue of the listener at this address.
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_full(&self, listener: SocketAddr, limit: Duration) -> Result<()> {
        self.wait_backlog(listener, limit, |backlog| backlog.waiting > backlog.limit)
            .context("waiting for a full queue")
    }

    /// Waits until the listener at this address has turned segments away.
    ///
    /// # Errors
    /// When that has not happened within `limit`.
    pub fn wait_drops(&self, listener: SocketAddr, count: u32, limit: Duration) -> Result<()> {
        self.wait_backlog(listener, limit, |backlog| backlog.drops >= count).context("waiting for drops")
    }

    fn wait_backlog(
        &self,
        listener: SocketAddr,
        limit: Duration,
        holds: impl Fn(Backlog) -> bool,
    ) -> Result<()> {
        ask_until(limit, || self.diag.listener(listener), |backlog| backlog.is_some_and(&holds))
            .with_context(|| format!("the listener {listener}"))
    }

    fn wait(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        limit: Duration,
        holds: impl Fn(Option<Report>) -> bool,
    ) -> Result<()> {
        ask_until(limit, || self.diag.find(local, remote), holds)
            .with_context(|| format!("the connection {local} -> {remote}"))
    }

    /// Whether sockets of IPv6 can be had here at all.
    pub fn has_ipv6(&self) -> bool {
        match self.sysctl("net.ipv6.conf.all.disable_ipv6") {
            Ok(value) => value == "0",
            Err(error) => {
                error.downcast_ref::<std::io::Error>().is_none_or(|e| e.kind() != ErrorKind::NotFound)
            }
        }
    }
}

/// Asks again and again until the answer `holds`.
fn ask_until<T: Copy + std::fmt::Debug>(
    limit: Duration,
    ask: impl Fn() -> Result<T>,
    holds: impl Fn(T) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ask()?;
        if holds(answer) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("is still {answer:?} after {limit:?}");
        }
        thread::sleep(STATE_PERIOD);
    }
}

/// The file of a sysctl; only network ones are per namespace, any other would reach the whole host.
fn sysctl_path(name: &str) -> Result<String> {
    let tail = name.strip_prefix("net.").filter(|tail| !tail.is_empty() && !tail.contains('/'));
    let tail = tail.with_context(|| format!("{name} is not a network sysctl"))?;
    Ok(format!("/proc/sys/net/{}", tail.replace('.', "/")))
}
