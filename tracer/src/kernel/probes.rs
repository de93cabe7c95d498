//! Loads the programs, attaches them, and says of each why not. The only user of aya.

use super::{
    btf, calls, counted,
    hooks::{HOOKS, Hook, Point},
    vocabulary::Vocabulary,
};
use anyhow::{Context, Result, bail};
use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf},
    programs::{BtfTracePoint, Iter, ProgramError},
};
use aya_log::{EbpfLogger, Level};
use log::Log;
use nix::errno::Errno;
use std::{
    fs::File,
    io::Read,
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

/// How a hook stands.
#[derive(Debug)]
pub struct Status {
    /// Which.
    pub hook: &'static Hook,
    /// The kernel's event it is attached to (iterators: loaded for), or why not.
    pub outcome: Result<&'static str, Refusal>,
}

/// Why a hook could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence without a dot.
    pub why: String,
    /// Whether it was for want of rights.
    pub rights: bool,
    /// Whether it was not asked for.
    pub unwanted: bool,
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
    /// Each hook of [`HOOKS`], in its order.
    pub statuses: Vec<Status>,
}

impl Probes {
    /// Loads and attaches everything that this kernel and these rights allow, but what `leave_out` gives a reason
    /// for; `log` for lines of the programs themselves.
    ///
    /// # Errors
    /// When nothing could be loaded at all. A hook that could not be attached is a [`Status`], not an error.
    pub fn attach(
        settings: &Settings,
        vocabulary: &Vocabulary,
        types: &btf::Btf,
        ring_bytes: u32,
        log: bool,
        leave_out: impl Fn(&Hook) -> Option<&'static str>,
    ) -> Result<Self> {
        let btf = Btf::from_sys_fs().context("reading the kernel's BTF")?;
        // At 0 the verifier removes every line, and what it costs.
        let log_level = if log { Level::Debug as u8 } else { 0 };
        let mut offsets = vocabulary.offsets;
        if counted::own_cookie().is_none() {
            offsets.net_cookie = ABSENT; // both sides must know a namespace by the same number
        }
        let namespaces = if settings.reconcile == 0 { 1 } else { NAMESPACES };
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global("OFFSETS", offsets.as_bytes(), true)
            .override_global("NUMBERS", vocabulary.numbers.as_bytes(), true)
            .override_global("SETTINGS", settings.as_bytes(), true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries("EVENTS", ring_bytes)
            .map_max_entries("EXPLAINED", namespaces)
            .load(OBJECT)
            .context("creating the maps of the BPF programs")?;
        let ring = RingBuf::try_from(ebpf.take_map("EVENTS").context("the ring is missing")?)?;
        let counters = PerCpuArray::try_from(ebpf.take_map("COUNTERS").context("the counters are missing")?)?;
        let explained = ebpf.take_map("EXPLAINED").context("what explains counters is missing")?;
        let explained = PerCpuHashMap::try_from(explained)?;
        let log = log.then(|| EbpfLogger::init(&mut ebpf)).transpose();
        let log = log.context("reading the log of the BPF programs")?;
        let statuses = HOOKS.iter().map(|hook| {
            let outcome = match leave_out(hook) {
                Some(why) => {
                    Err(Refusal { why: why.to_owned(), rights: false, unwanted: true, verifier: None })
                }
                None => start(&mut ebpf, hook, types, &btf),
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

    /// Run time of every hook's programs together in nanoseconds, and the number of its events; zero unless
    /// statistics are on ([`Self::enable_statistics`]).
    pub fn run_times(&self) -> Vec<(&'static str, u64, u64)> {
        let run = |name: String| {
            let info = self.ebpf.program(&name)?.info().ok()?;
            Some((u64::try_from(info.run_time().as_nanos()).ok()?, info.run_count()))
        };
        let hooks = HOOKS.iter().filter_map(|hook| {
            let runs: Vec<_> = hook.programs().map_while(run).collect();
            let (_, events) = *runs.first()?;
            Some((hook.program, runs.iter().map(|(ns, _)| ns).sum(), events))
        });
        hooks.collect()
    }

    /// Events lost because the kernel skips a program that is running on that CPU already, and the hook's second
    /// one, if it has any, was running too.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn recursion_misses(&self) -> Result<u64> {
        let programs = HOOKS.iter().filter_map(|hook| self.ebpf.program(hook.program));
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

fn start(ebpf: &mut Ebpf, hook: &Hook, types: &btf::Btf, btf: &Btf) -> Result<&'static str, Refusal> {
    hook.programs().try_fold("", |_, name| start_one(ebpf, hook, &name, types, btf))
}

fn start_one(
    ebpf: &mut Ebpf,
    hook: &Hook,
    name: &str,
    types: &btf::Btf,
    btf: &Btf,
) -> Result<&'static str, Refusal> {
    let absent = |why: String| Refusal { why, rights: false, unwanted: false, verifier: None };
    let program = ebpf.program_mut(name).ok_or_else(|| absent("the program is not in the object".into()))?;
    match hook.point {
        Point::Tracepoint(name) => {
            if types.tracepoint_args(name).is_none() {
                return Err(absent(format!("this kernel has no tracepoint {name}")));
            }
            let program: &mut BtfTracePoint = program.try_into().map_err(|error| refusal(&error))?;
            program.load(name, btf).map_err(|error| refusal(&error))?;
            program.attach().map_err(|error| refusal(&error))?;
        }
        Point::Calls(calls) => return calls::start(ebpf, name, calls, btf),
        Point::Iterator(name, members) => {
            let context = format!("bpf_iter__{name}");
            for (index, member) in members.iter().enumerate() {
                let place = types.member(&context, member).map(|member| member.offset_bytes as usize);
                if place != Some(index * 8) {
                    return Err(absent(format!("this kernel has no iterator {name} of the known form")));
                }
            }
            let program: &mut Iter = program.try_into().map_err(|error| refusal(&error))?;
            program.load(name, btf).map_err(|error| refusal(&error))?;
        }
    }
    Ok(hook.point.name())
}

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
    let why = match io {
        Some(_) if rights => "the kernel does not allow it to this process".to_owned(),
        Some(_) if verifier.is_some() => {
            "the kernel's verifier refuses the program (-vv shows why)".to_owned()
        }
        Some(error) => format!("the kernel refuses it: {error}"),
        None => format!("{error}"),
    };
    Refusal { why, rights, unwanted: false, verifier }
}
