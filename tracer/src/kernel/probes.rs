//! Loads the programs, attaches them, and says of each why not. The only user of aya.

use super::{
    attach::{Attached, Means, Options, SECOND, begins_with_event, start},
    btf, counted, functions,
    hooks::{HOOKS, Hook, Nests},
    preload,
    refusal::no_maps,
    vocabulary::Vocabulary,
};
use crate::backend::Backend;
use anyhow::{Context, Result, bail};
use aya::{
    Btf, Ebpf, EbpfLoader, Endianness, VerifierLogLevel,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf},
    programs::{Iter, ProgramError},
};
use aya_log::{EbpfLogger, Level};
use log::Log;
use nix::errno::Errno;
use std::{
    error::Error as _,
    fs::File,
    io::Read,
    iter,
    os::fd::{AsFd, AsRawFd},
};
use tracer_common::{
    counter::{Cell, Counter},
    layout::ABSENT,
    reconcile::{Explained, NAMESPACES, WORDS},
    settings::Settings,
};
use zerocopy::IntoBytes;

/// The programs, as `build.rs` made them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Sockets of which something is kept where that is found by their address: 40 MB, which the kernel takes at once.
const SOCKETS: u32 = 131_072;

/// How a hook stands.
#[derive(Debug)]
pub struct Status {
    /// Which.
    pub hook: &'static Hook,
    /// How it is attached (iterators: loaded), or why not.
    pub outcome: Result<Attached, Refusal>,
}

/// Why a hook could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence without a dot.
    pub why: String,
    /// Whether it was for want of rights.
    pub rights: bool,
    /// Whether it was not asked for, or what it is for is not on this host.
    pub unwanted: bool,
    /// Whether the kernel has no types of its own for it.
    pub untyped: bool,
    /// What the verifier said, for `-vv`.
    pub verifier: Option<String>,
}

/// By what the programs know a network namespace: its cookie, or its inode number where the kernel has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

/// The programs in the kernel; they leave it when this is dropped.
pub struct Probes {
    ebpf: Ebpf,
    ring: Option<RingBuf<MapData>>,
    counters: PerCpuArray<MapData, [u64; 3]>,
    explained: PerCpuHashMap<MapData, u64, Explained>,
    reconcile: bool,
    log: Option<EbpfLogger<&'static dyn Log>>,
    /// Each hook of [`HOOKS`] that applies here, in its order.
    pub statuses: Vec<Status>,
}

impl Refusal {
    /// The kernel has no such thing.
    pub(super) const fn absent(why: String) -> Self {
        Self { why, rights: false, unwanted: false, untyped: false, verifier: None }
    }

    pub(super) fn unwanted(why: &str) -> Self {
        Self { why: why.to_owned(), rights: false, unwanted: true, untyped: false, verifier: None }
    }
}

impl Probes {
    /// Loads and attaches everything that this kernel and these rights allow, but what `leave_out` gives a reason for.
    ///
    /// Where an event does not show all, or cannot be had since the kernel was built without BTF, and only kernel probes
    /// would do, everything is loaded once more, for programs that take pointers for numbers: that costs more at each
    /// event.
    ///
    /// # Errors
    /// When nothing could be loaded at all; a [`super::refusal::Refusal`] when that is for want of rights. A hook that could not be attached is a [`Status`], not an error.
    pub fn attach(
        settings: &Settings,
        vocabulary: &Vocabulary,
        types: &btf::Btf,
        options: Options,
        leave_out: impl Fn(&Hook) -> Option<&'static str>,
    ) -> Result<Self> {
        let probed = options.backend == Backend::Kprobe || vocabulary.numbers.probed != 0;
        let means = Means { probed, own_types: true };
        let first = Self::load(settings, vocabulary, types, options, means, &leave_out)?;
        let own_types = first.has_own_types();
        if options.backend != Backend::Auto
            || probed && own_types
            || !first.is_blind()
            || !functions::has_kernel_probes()
        {
            return Ok(first);
        }
        drop(first);
        Self::load(settings, vocabulary, types, options, Means { probed: true, own_types }, &leave_out)
    }

    /// Whether the kernel has types of its own, as far as programs were refused for want of them.
    fn has_own_types(&self) -> bool {
        let untyped = |status: &Status| status.outcome.as_ref().err().is_some_and(|refusal| refusal.untyped);
        !self.statuses.iter().any(untyped)
    }

    /// Whether a hook is attached.
    pub fn has(&self, program: &str) -> bool {
        self.statuses.iter().any(|status| status.hook.program == program && status.outcome.is_ok())
    }

    /// Whether a hook sees less than its functions would show.
    fn is_blind(&self) -> bool {
        self.statuses.iter().any(|status| match &status.outcome {
            Ok(attached) => attached.lacks.is_some(),
            Err(refusal) => !refusal.unwanted && !status.hook.functions.is_empty(),
        })
    }

    fn load(
        settings: &Settings,
        vocabulary: &Vocabulary,
        types: &btf::Btf,
        options: Options,
        means: Means,
        leave_out: &impl Fn(&Hook) -> Option<&'static str>,
    ) -> Result<Self> {
        let btf = Btf::parse(types.bytes(), Endianness::default()).context("reading the kernel's BTF")?;
        // At 0 the verifier removes every line, and what it costs.
        let log_level = if options.log { Level::Debug as u8 } else { 0 };
        let (mut offsets, numbers) = vocabulary.layout(means.probed);
        if counted::own_cookie().is_none() {
            offsets.net_cookie = ABSENT; // both sides must know a namespace by the same number
        }
        let sockets = if means.probed { SOCKETS } else { 1 };
        let namespaces = if settings.reconcile == 0 { 1 } else { NAMESPACES };
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global("OFFSETS", offsets.as_bytes(), true)
            .override_global("NUMBERS", numbers.as_bytes(), true)
            .override_global("SETTINGS", settings.as_bytes(), true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries("EVENTS", options.ring_bytes)
            .map_max_entries("EXPLAINED", namespaces)
            .map_max_entries("IDENTITIES", sockets)
            .map_max_entries("PASTS", sockets)
            .map_max_entries("REPEATED", sockets)
            .load(OBJECT)
            .map_err(no_maps)?;
        let ring = RingBuf::try_from(ebpf.take_map("EVENTS").context("the ring is missing")?)?;
        let counters = PerCpuArray::try_from(ebpf.take_map("COUNTERS").context("the counters are missing")?)?;
        let explained = ebpf.take_map("EXPLAINED").context("what explains counters is missing")?;
        let explained = PerCpuHashMap::try_from(explained)?;
        let log = options.log.then(|| EbpfLogger::init(&mut ebpf)).transpose();
        let log = log.context("reading the log of the BPF programs")?;
        let applies = |hook: &&Hook| means.probed || !hook.by_address;
        let event = |hook: &&Hook| {
            leave_out(hook).is_none() && begins_with_event(hook, options, means, &numbers, types)
        };
        let events: Vec<&Hook> = HOOKS.iter().filter(applies).filter(event).collect();
        preload::load(&mut ebpf, &events, &numbers, &btf);
        let statuses = HOOKS.iter().filter(applies).map(|hook| {
            let outcome = match leave_out(hook) {
                Some(why) => Err(Refusal::unwanted(why)),
                None => start(&mut ebpf, hook, options, means, &numbers, types, &btf),
            };
            Status { hook, outcome }
        });
        let statuses = statuses.collect();
        Ok(Self {
            ebpf,
            ring: Some(ring),
            counters,
            explained,
            reconcile: settings.reconcile != 0,
            log,
            statuses,
        })
    }

    /// The ring; it can be taken once.
    ///
    /// # Panics
    /// The second time.
    pub fn take_ring(&mut self) -> RingBuf<MapData> {
        self.ring.take().expect("the ring is taken once, by the loop that reads it")
    }

    /// Passes what the programs have logged to this program's own log.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Every counter of every CPU.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn counters(&self) -> Result<Vec<(Counter, Vec<Cell>)>> {
        Counter::ALL
            .iter()
            .map(|counter| {
                let cells = self.counters.get(&(*counter as u32), 0).context("reading a counter")?;
                let cell = |cell: &[u64; 3]| Cell { count: cell[0], first_ns: cell[1], last_ns: cell[2] };
                Ok((*counter, cells.iter().map(cell).collect()))
            })
            .collect()
    }

    /// Whether what explains the kernel's counters is counted.
    pub fn reconcile(&self) -> bool {
        self.reconcile
    }

    /// How often events explained the kernel's counters of a namespace, all CPUs together.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn explained(&self, namespace: Key) -> Result<Explained> {
        let mut sum = [0; WORDS];
        match self.explained.get(&namespace.0, 0) {
            Err(MapError::KeyNotFound) => {}
            cpus => {
                for cpu in cpus.context("reading what explains counters")?.iter() {
                    sum.iter_mut().zip(cpu).for_each(|(sum, count)| *sum += count);
                }
            }
        }
        Ok(sum)
    }

    /// The namespaces in which something explained a counter.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn explained_namespaces(&self) -> Result<Vec<Key>> {
        self.explained.keys().map(|key| key.map(Key).context("reading what explains counters")).collect()
    }

    /// Forgets what explained the counters of a namespace that has gone.
    pub fn forget(&mut self, namespace: Key) {
        // One in which nothing happened is not there.
        let _ = self.explained.remove(&namespace.0);
    }

    /// A file that reads as the records of an iterator.
    fn iterator(&mut self, program: &str) -> Result<File> {
        let program =
            self.ebpf.program_mut(program).with_context(|| format!("there is no program {program}"))?;
        let iter: &mut Iter = program.try_into().context("the program is no iterator")?;
        let id = iter.attach().context("attaching the iterator")?;
        iter.take_link(id)?.into_file().context("opening the iterator")
    }

    /// Reads all records of an iterator, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the iterator is not to be had, or reading fails.
    pub fn iterate(&mut self, program: &str) -> Result<Vec<u8>> {
        let status = self.statuses.iter().find(|status| status.hook.program == program);
        if let Some(Status { outcome: Err(refusal), .. }) = status {
            bail!("{}", refusal.why);
        }
        let mut records = Vec::new();
        self.iterator(program)?.read_to_end(&mut records).context("reading the iterator")?;
        Ok(records)
    }

    /// The programs of a hook that are in the kernel, and how many instructions its verifier walked for each; none
    /// where the kernel does not say, as before Linux 5.16.
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c>, `bpf_prog_get_info_by_fd`
    pub fn verified<'a>(&'a self, attached: &'a Attached) -> Vec<(&'a str, Option<u32>)> {
        let count = |name: &'a String| {
            // Not every function is in every kernel.
            let info = self.ebpf.program(name)?.info().ok()?;
            Some((name.as_str(), info.verified_instruction_count()))
        };
        attached.programs.iter().filter_map(count).collect()
    }

    /// Run time of every hook's programs together in nanoseconds, and the number of its events; zero unless
    /// statistics are on ([`Self::enable_statistics`]).
    pub fn run_times(&self) -> Vec<(&'static str, u64, u64)> {
        let run = |name: &String| {
            let info = self.ebpf.program(name)?.info().ok()?;
            Some((u64::try_from(info.run_time().as_nanos()).ok()?, info.run_count()))
        };
        let hooks = self.statuses.iter().filter_map(|status| {
            let attached = status.outcome.as_ref().ok()?;
            let runs: Vec<_> = attached.programs.iter().filter_map(run).collect();
            // A second program runs as often as the first.
            let firsts = attached.programs.iter().zip(&runs).filter(|(name, _)| !name.ends_with(SECOND));
            let events = firsts.map(|(_, (_, count))| count).sum();
            Some((status.hook.program, runs.iter().map(|(ns, _)| ns).sum(), events))
        });
        hooks.collect()
    }

    /// Events lost because the kernel skips a program that is running on that CPU already, and the hook's second
    /// one, if it has any, was running too.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn recursion_misses(&self) -> Result<u64> {
        let counted = self.statuses.iter().filter(|status| status.hook.nests != Nests::Noticed);
        let attached = counted.filter_map(|status| status.outcome.as_ref().ok());
        let names = attached.flat_map(|attached| &attached.programs).filter(|name| !name.ends_with(SECOND));
        let programs = names.filter_map(|name| self.ebpf.program(name));
        let misses = programs.filter_map(|program| {
            let fd = program.fd().ok()?.as_fd().as_raw_fd();
            let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse::<u64>().ok())
        });
        // Read first: an event is skipped before it is taken all the same.
        let misses = misses.sum::<u64>();
        let taken = self.counters.get(&(Counter::Nested as u32), 0).context("reading a counter")?;
        Ok(misses.saturating_sub(taken.iter().map(|cell| cell[0]).sum()))
    }

    /// Turns on run time statistics of BPF programs for as long as the result lives; the host-wide sysctl is left
    /// alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enable_statistics() -> Result<impl Sized> {
        aya::sys::enable_stats(aya::sys::Stats::RunTime).context("enabling BPF statistics")
    }
}

/// What the verifier of Linux 5.10 says where the kernel has no types of its own: `bpf_check_attach_target()`. Later ones are
/// not asked: `bpf_prog_load()` answers EINVAL at once. <https://github.com/torvalds/linux/blob/v5.10/kernel/bpf/verifier.c>,
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c>
const UNTYPED: &str = "can only be attached to another program annotated with BTF";
/// What the verifier says of a helper that lockdown has taken away: aya puts `bpf_probe_read()` where the kernel refuses
/// `bpf_probe_read_kernel()`; `bpf_base_func_proto()` gives neither. <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/helpers.c>
const CLOSED: &[&str] = &["unknown func bpf_probe_read", "cannot use helper bpf_probe_read"];

pub(super) fn refusal(error: &ProgramError) -> Refusal {
    let (io, verifier) = match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            (Some(io_error), Some(verifier_log.to_string()))
        }
        ProgramError::SyscallError(error) => (Some(&error.io_error), None),
        _ => (None, None),
    };
    // The verifier's own refusals are EACCES, which std calls permission denied too.
    let rights = io.is_some_and(|error| error.raw_os_error() == Some(Errno::EPERM as i32));
    let said = |words: &str| verifier.as_ref().is_some_and(|log| log.contains(words));
    let invalid = io.is_some_and(|error| error.raw_os_error() == Some(Errno::EINVAL as i32));
    let untyped = invalid && verifier.as_ref().is_some_and(String::is_empty) || said(UNTYPED);
    let why = match io {
        Some(_) if rights => "the kernel does not allow it to this process".to_owned(),
        Some(_) if untyped => {
            "this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF), which it needs".to_owned()
        }
        Some(_) if CLOSED.iter().any(|words| said(words)) => {
            "the kernel lets no BPF program read its memory: lockdown is at confidentiality".to_owned()
        }
        Some(_) if verifier.as_ref().is_some_and(|log| !log.is_empty()) => {
            "the kernel's verifier refuses the program (-vv shows why)".to_owned()
        }
        Some(error) => format!("the kernel refuses it: {error}"),
        None => chain(error),
    };
    Refusal { why, rights, unwanted: false, untyped, verifier }
}

/// An error with what caused it.
fn chain(error: &ProgramError) -> String {
    let causes = iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}
