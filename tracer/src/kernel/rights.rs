//! What this process may do, and what it lacks, in words for the person who started it.

#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};
use std::{fmt, fs, io, path::Path};

/// Inodes of the first namespaces, which no later ones get:
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/proc_ns.h>.
const INITIAL_USER: &str = "user:[4026531837]";
const INITIAL_PID: &str = "pid:[4026531836]";
/// Shown by securityfs.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// What attaching needs and this process lacks, by short names.
///
/// # Errors
/// As [`Rights::read`].
pub fn missing() -> Result<Vec<String>> {
    let lacking = Rights::read()?.lacking(Purpose::Attach);
    Ok(lacking.into_iter().map(Lack::short).collect())
}

/// The lockdown in force; nothing where the kernel does not show it.
pub fn lockdown() -> Option<Lockdown> {
    shown(LOCKDOWN).ok().flatten().and_then(|text| Lockdown::chosen(&text))
}

/// What a run can do without: what lacks for it, and what is lost by that.
///
/// # Errors
/// As [`Rights::read`].
pub fn limits() -> Result<Vec<(Vec<Lack>, &'static str)>> {
    let rights = Rights::read()?;
    let lacking = |(purpose, lost)| (rights.lacking(purpose), lost);
    let all = [(Purpose::Namespaces, OUTSIDE), (Purpose::Processes, PROCESSES)].map(lacking);
    Ok(all.into_iter().filter(|(lacks, _)| !lacks.is_empty()).collect())
}

/// What is lost without the right to go into network namespaces.
const OUTSIDE: &str =
    "in other network namespaces: sockets older than the run, queues, and what a question would prove";
/// What is lost without the right to look at processes.
const PROCESSES: &str = "programs and users of other processes, namespaces that only they are in, and, in a pid namespace, \
                         who holds a socket outside it";

/// What rights are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Loading and attaching tracing programs and iterators.
    Attach,
    /// Programs that read kernel memory by its address (`bpf_probe_read_kernel`), not through BTF pointers.
    ProbeReads,
    /// Attaching kprobes, where no tracepoint tells.
    Kprobes,
    /// Going into the network namespaces of others.
    Namespaces,
    /// Making network namespaces, with interfaces, routes and firewalls in them.
    Networks,
    /// Reading namespaces, descriptors and programs of other users' processes.
    Processes,
    /// Run time statistics of BPF programs.
    Statistics,
}

/// Something without which a purpose cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A capability.
    Capability {
        /// Which.
        capability: Capability,
        /// How it was lost, and so how it is gained.
        loss: Loss,
    },
    /// The capabilities are those of a user namespace, and BPF asks for those of the host.
    UserNamespace,
    /// The numbers of processes are those of another pid namespace than the host's.
    PidNamespace,
    /// Kernel lockdown.
    Lockdown,
}

/// Why a capability is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An ordinary user.
    NotRoot,
    /// Root, or a service, that dropped it.
    Dropped,
    /// It is not in the bounding set: not even root can have it here.
    Bounded,
}

/// How far the kernel is closed against root: `kernel_lockdown(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// The kernel cannot be changed. This allows all that tracing needs.
    Integrity,
    /// Its memory cannot be read either.
    Confidentiality,
}

/// Who may load BPF programs without `CAP_BPF`: the sysctl `kernel.unprivileged_bpf_disabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnprivilegedBpf {
    /// Everybody, some kinds (0).
    Allowed,
    /// Nobody, until the next boot (1).
    OffUntilReboot,
    /// Nobody (2).
    Off,
}

/// What this process may do. Capabilities are those of the calling thread.
#[derive(Clone, Debug)]
pub struct Rights {
    effective: CapsHashSet,
    bounding: CapsHashSet,
    root: bool,
    /// Whether capabilities count for the whole host.
    pub initial_user_namespace: bool,
    /// Whether pids here are those that BPF programs see.
    pub initial_pid_namespace: bool,
    /// `None` when the kernel has no lockdown, or does not show it (securityfs not mounted).
    pub lockdown: Option<Lockdown>,
    /// `None` when the kernel does not show it.
    pub unprivileged_bpf: Option<UnprivilegedBpf>,
    /// Whether a seccomp filter is in force, which can refuse bpf(2) to a process that has every capability.
    pub seccomp_filter: bool,
}

impl Rights {
    /// Those of the calling thread, now.
    ///
    /// # Errors
    /// When `/proc` or the kernel's capability calls cannot be read.
    pub fn read() -> Result<Self> {
        let set =
            |set, name| caps::read(None, set).with_context(|| format!("reading the {name} capabilities"));
        let namespace = |name| {
            let path = format!("/proc/thread-self/ns/{name}");
            fs::read_link(&path).with_context(|| format!("reading {path}"))
        };
        let status = procfs::process::Process::myself().and_then(|process| process.status());
        Ok(Self {
            effective: set(CapSet::Effective, "effective")?,
            bounding: set(CapSet::Bounding, "bounding")?,
            root: nix::unistd::geteuid().is_root(),
            initial_user_namespace: namespace("user")? == Path::new(INITIAL_USER),
            initial_pid_namespace: namespace("pid")? == Path::new(INITIAL_PID),
            lockdown: shown(LOCKDOWN)?.and_then(|text| Lockdown::chosen(&text)),
            unprivileged_bpf: shown("/proc/sys/kernel/unprivileged_bpf_disabled")?
                .and_then(|text| UnprivilegedBpf::from_sysctl(&text)),
            seccomp_filter: status.context("reading /proc/self/status")?.seccomp == Some(2),
        })
    }

    /// Whether the calling thread had this capability in force.
    pub fn has(&self, capability: Capability) -> bool {
        self.effective.contains(&capability)
    }

    /// All that is lacking for a purpose; nothing when it can be met as far as rights go.
    pub fn lacking(&self, purpose: Purpose) -> Vec<Lack> {
        let mut lacking = Vec::new();
        if purpose.needs_host() && !self.initial_user_namespace {
            lacking.push(Lack::UserNamespace);
        }
        let wanted = purpose.capabilities().iter();
        let missing =
            wanted.filter(|alternatives| !alternatives.iter().any(|capability| self.has(*capability)));
        // The least of the alternatives comes first: it is the one to ask for.
        lacking.extend(
            missing
                .filter_map(|alternatives| alternatives.first())
                .map(|capability| Lack::Capability { capability: *capability, loss: self.loss(*capability) }),
        );
        if purpose == Purpose::Processes && !self.initial_pid_namespace {
            lacking.push(Lack::PidNamespace);
        }
        let closed = self.lockdown == Some(Lockdown::Confidentiality);
        if closed && matches!(purpose, Purpose::ProbeReads | Purpose::Kprobes) {
            lacking.push(Lack::Lockdown);
        }
        lacking
    }

    fn loss(&self, capability: Capability) -> Loss {
        match (self.bounding.contains(&capability), self.root) {
            (false, _) => Loss::Bounded,
            (true, true) => Loss::Dropped,
            (true, false) => Loss::NotRoot,
        }
    }
}

impl Purpose {
    /// One capability of each row is needed. `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`: `bpf_capable()`
    /// and `perfmon_capable()`, <https://github.com/torvalds/linux/blob/v6.12/include/linux/capability.h>; the
    /// statistics: `bpf_enable_stats()`, <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c>; the
    /// namespaces: `netns_install()`, <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>.
    fn capabilities(self) -> &'static [&'static [Capability]] {
        use Capability::{
            CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN,
            CAP_SYS_PTRACE,
        };
        match self {
            Self::Attach | Self::ProbeReads | Self::Kprobes => {
                &[&[CAP_BPF, CAP_SYS_ADMIN], &[CAP_PERFMON, CAP_SYS_ADMIN]]
            }
            Self::Namespaces | Self::Statistics => &[&[CAP_SYS_ADMIN]],
            Self::Networks => &[&[CAP_SYS_ADMIN], &[CAP_NET_ADMIN]],
            Self::Processes => &[&[CAP_SYS_PTRACE], &[CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE]],
        }
    }

    /// Whether capabilities in a user namespace other than the first are worth nothing for it.
    fn needs_host(self) -> bool {
        match self {
            Self::Networks => false,
            Self::Attach
            | Self::ProbeReads
            | Self::Kprobes
            | Self::Namespaces
            | Self::Processes
            | Self::Statistics => true,
        }
    }
}

impl Lack {
    /// By its name.
    pub fn short(self) -> String {
        match self {
            Self::Capability { capability, .. } => capability.to_string(),
            Self::UserNamespace => "the user namespace of the host".to_owned(),
            Self::PidNamespace => "the pid namespace of the host".to_owned(),
            Self::Lockdown => "a kernel that is not locked down".to_owned(),
        }
    }
}

impl Lockdown {
    /// `none [integrity] confidentiality`: the brackets choose.
    fn chosen(text: &str) -> Option<Self> {
        match text.split_once('[')?.1.split_once(']')?.0 {
            "none" => Some(Self::None),
            "integrity" => Some(Self::Integrity),
            "confidentiality" => Some(Self::Confidentiality),
            _ => None,
        }
    }
}

impl UnprivilegedBpf {
    fn from_sysctl(text: &str) -> Option<Self> {
        match text.trim() {
            "0" => Some(Self::Allowed),
            "1" => Some(Self::OffUntilReboot),
            "2" => Some(Self::Off),
            _ => None,
        }
    }
}

impl fmt::Display for Lockdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        })
    }
}

impl fmt::Display for UnprivilegedBpf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::OffUntilReboot => "off until reboot",
            Self::Off => "off",
        })
    }
}

/// A sentence without a dot that says what is missing and how to get it.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability { capability, loss: Loss::NotRoot } => {
                write!(f, "{capability} is missing: run as root, or give it with setcap or AmbientCapabilities=")
            }
            Self::Capability { capability, loss: Loss::Dropped } => {
                write!(f, "{capability} is missing although this is root: whatever started it dropped it")
            }
            Self::Capability { capability, loss: Loss::Bounded } => {
                let name = capability.to_string();
                let short = name.strip_prefix("CAP_").unwrap_or(&name);
                write!(
                    f,
                    "{name} is missing and not even root can gain it here: it is outside the bounding set \
                     (containers: --cap-add {short}; systemd: CapabilityBoundingSet=)"
                )
            }
            Self::UserNamespace => f.write_str(
                "this is not the host's user namespace (a rootless container?), so its capabilities do not count: \
                 run on the host",
            ),
            Self::PidNamespace => f.write_str(
                "this is not the host's pid namespace, so processes have other numbers here than in the kernel: run in \
                 the host's (docker: --pid=host; Kubernetes: hostPID: true)",
            ),
            // BPF_FUNC_probe_read_kernel in bpf_base_func_proto() asks LOCKDOWN_BPF_READ_KERNEL,
            // https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/helpers.c, and __register_trace_kprobe() asks
            // LOCKDOWN_KPROBES, https://github.com/torvalds/linux/blob/v6.12/kernel/trace/trace_kprobe.c.
            Self::Lockdown => f.write_str(
                "kernel lockdown is at confidentiality: BPF programs may not read kernel memory by address and \
                 kprobes are refused (boot with lockdown=integrity)",
            ),
        }
    }
}

/// The text of a file; `None` when it is not there or not for us.
fn shown(path: &str) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("reading {path}")),
    }
}
