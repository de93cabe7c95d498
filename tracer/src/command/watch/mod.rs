//! `tcptrace watch`: attach, correlate, tell.

mod child;
mod ready;
mod reconciled;
mod teller;

use super::{
    doctor::{kernel_release, lost_without, probe_records},
    files::Files,
};
use crate::{
    cli::{
        exit::Exit,
        value,
        watch::{Format, WatchArgs},
    },
    engine::{Capacity, Counting, Engine, Polling},
    filter::Filter,
    kernel::{
        attach::Options,
        clock::TickRate,
        hooks::Hook,
        look::Looks,
        namespace::Namespace,
        probes::Probes,
        refusal::{Refusal, need_host_pids, prepare},
        rights::{self, Rights},
    },
    live::Live,
    pattern::{self, CATALOGUE, Host, POLL_PERIOD, Pattern},
    recording::{Preface, Writer},
    time::nanoseconds,
};
use anyhow::{Context, Result, bail};
use child::Child;
use ready::ReadyFile;
use std::{
    fs::File,
    io::{BufWriter, IsTerminal as _},
    time::Duration,
};
use teller::Teller;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use tracer_common::{layout::ABSENT, settings::Settings};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How often `stats` are told.
const STATS_PERIOD: Duration = Duration::from_secs(10);
/// Later than any run.
const FAR: Duration = Duration::from_hours(24 * 365 * 30);

/// Watches until it is told to end.
///
/// # Errors
/// When nothing can be attached, or a file, the ring or an output fails.
pub fn run(arguments: &WatchArgs) -> Result<Exit> {
    log(arguments);
    let namespaces = resolve(arguments)?;
    let files = Files::allow();
    let ready = arguments.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let (types, vocabulary) = prepare(arguments.btf.as_deref())?;
    if !arguments.command.is_empty() {
        need_host_pids("telling a command and its children from others")?;
    }
    let filter = Filter::new(arguments, namespaces);
    let filter = if Rights::read()?.initial_pid_namespace { filter } else { filter.with_own() };
    let statistics = arguments.probe_stats.then(Probes::enable_statistics).transpose()?;
    let hz = TickRate::of_jiffies().context("asking how long a tick of the kernel is")?.hz();
    let host = Host {
        settings: arguments.set.iter().map(|threshold| (threshold.key, threshold.value)).collect(),
        reset_reasons: vocabulary.reset_reasons.clone(),
        hz,
    };
    // What nobody is shown need not be looked for.
    let shown = |pattern: &Pattern| active(arguments, pattern) && pattern.severity >= arguments.min_severity;
    let polling = Polling::of(&host, shown);
    let mut settings = filter.for_kernel(arguments.events);
    if settings.cgroup_count != 0 && vocabulary.offsets.sock_cgroup == ABSENT {
        bail!(Refusal::Kernel(
            "sockets know their cgroup since Linux 5.15 only, so --cgroup cannot be had".into()
        ));
    }
    settings.idle_jiffies = polling.idle.map_or(0, |idle| jiffies(idle, hz));
    let counting = Counting::of(&host, shown);
    count_for(&counting, &mut settings);
    let leave_out = |hook: &Hook| left_out(arguments, hook);
    let options = Options {
        backend: arguments.backend,
        ring_bytes: arguments.ring_size,
        log: arguments.verbose >= 3,
        no_syscalls: arguments.no_syscalls,
    };
    let probes = Probes::attach(&settings, &vocabulary, &types, options, leave_out)?;
    complain(arguments, &probes)?;
    let recorder = arguments.raw_records.as_deref().map(|path| {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Writer::begin(BufWriter::new(file), &Preface::new(&host, kernel_release()))
    });
    let recorder = recorder.transpose()?;
    // The kernel's types are needed no more: 10 MB.
    drop((types, vocabulary));
    let reasons = host.reset_reasons.clone();
    let period = host.time(&POLL_PERIOD);
    let mut engine = Engine::new(host, Capacity::default(), |pattern| active(arguments, pattern));
    if !counting.scans {
        engine.pass_over_scans();
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the loop")?;
    let exit = runtime.block_on(async {
        let live = Live::new(probes, engine, Looks::new(period)?, polling, recorder, arguments.events, hz)?;
        let mut run =
            Run { arguments, files, live, teller: Teller::new(arguments, filter, reasons)?, child: None };
        run.watch(ready).await
    });
    drop(statistics);
    exit
}

/// Sends this program's own log to standard error: warnings, and more with `-vv` and `-vvv`.
fn log(arguments: &WatchArgs) {
    let levels = match arguments.verbose {
        0..=1 => Targets::new().with_default(LevelFilter::WARN),
        2 => Targets::new().with_default(LevelFilter::INFO),
        // What the loader does to each instruction is nobody's business here.
        _ => Targets::new().with_default(LevelFilter::DEBUG).with_target("aya_obj", LevelFilter::INFO),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time();
    // Fails only when a log is set up already, which then is as good.
    let _ = tracing_subscriber::registry().with(lines.with_filter(levels)).try_init();
}

/// Inode numbers of the namespaces that were named.
fn resolve(arguments: &WatchArgs) -> Result<Vec<u32>> {
    let inode = |namespace: &value::Namespace| match namespace {
        value::Namespace::Inode(inode) => Ok(*inode),
        value::Namespace::Pid(pid) => Namespace::of_process(*pid).map(|found| found.inum),
        value::Namespace::Path(path) => Namespace::open(path).map(|found| found.inum),
    };
    arguments.netns.iter().map(inode).collect()
}

fn active(arguments: &WatchArgs, pattern: &Pattern) -> bool {
    let asked = arguments.pattern.is_empty() || arguments.pattern.contains(&pattern.id);
    asked && !arguments.exclude.contains(&pattern.id)
}

/// Lets the kernel programs count what the patterns that are shown need.
fn count_for(counting: &Counting, settings: &mut Settings) {
    if let Some(lossy) = counting.lossy {
        settings.lossy_over_ns = nanoseconds(lossy.over);
        settings.lossy_segments = u32::try_from(lossy.segments).unwrap_or(u32::MAX);
        settings.lossy_share_ppm = parts_per_million(lossy.share);
    }
    settings.blackhole = counting.blackhole.into();
    settings.stuck_after_ns = counting.stuck.map_or(0, nanoseconds);
    settings.closing = counting.closing.into();
    settings.lingers = counting.lingers.into();
}

/// A share, of which at least one part in a million is left: 0 would mean never.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 1,000,000")]
fn parts_per_million(share: f64) -> u32 {
    (share * 1e6).round().clamp(1.0, 1e6) as u32
}

/// A time in ticks of the kernel's timers.
fn jiffies(time: Duration, hz: u32) -> u32 {
    u32::try_from(time.as_millis() * u128::from(hz) / 1_000).unwrap_or(u32::MAX)
}

/// Why a hook that costs work which has nothing to do with failures is left out; none when it is needed.
fn left_out(arguments: &WatchArgs, hook: &Hook) -> Option<&'static str> {
    let needed = || {
        CATALOGUE.iter().any(|pattern| active(arguments, pattern) && pattern.needs.contains(&hook.program))
    };
    if !hook.optional || needed() { None } else { Some("no pattern that is on needs it") }
}

/// Says what could not be attached or may not be looked at; without the first hook there is nothing to tell.
fn complain(arguments: &WatchArgs, probes: &Probes) -> Result<()> {
    for (index, status) in probes.statuses.iter().enumerate() {
        let Err(refusal) = &status.outcome else { continue };
        if refusal.unwanted {
            let lost: Vec<&str> = lost_without(status.hook.program)
                .filter(|id| active(arguments, pattern::by_id(id).expect("an id of the catalogue")))
                .collect();
            if !lost.is_empty() && !arguments.quiet {
                eprintln!("tcptrace: --no-syscalls: not told, or not in full: {}", lost.join(", "));
            }
            continue;
        }
        let (name, without) = (status.hook.program, status.hook.without);
        if arguments.verbose >= 2 {
            eprintln!("{}", refusal.verifier.as_deref().unwrap_or_default());
        }
        if index == 0 {
            let why = format!("{}: {}", status.hook.point.name(), refusal.why);
            bail!(if refusal.rights { Refusal::Rights(why) } else { Refusal::Kernel(why) });
        }
        eprintln!("tcptrace: no {name} ({}); lost: {without}", refusal.why);
    }
    for (lacks, lost) in rights::limits()? {
        let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
        eprintln!("tcptrace: {}; lost: {lost}", lacks.join("; "));
    }
    Ok(())
}

/// A run of `watch`.
struct Run<'a> {
    arguments: &'a WatchArgs,
    files: Option<Files>,
    live: Live,
    teller: Teller,
    child: Option<Child>,
}

impl Run<'_> {
    async fn watch(&mut self, ready: Option<ReadyFile>) -> Result<Exit> {
        let scanned = self.live.scan().context("looking at what exists")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
        self.teller.start(self.arguments, &self.live, probe_records(self.live.probes()), scanned)?;
        ready.map_or(Ok(()), ReadyFile::tell)?;
        if !self.arguments.command.is_empty() {
            let start = || Child::start(&self.arguments.command);
            self.child = Some(self.files.map_or_else(start, |files| files.as_before(start))?);
        }
        let end = Instant::now() + self.arguments.duration.unwrap_or(FAR);
        let mut stats = Instant::now() + STATS_PERIOD;
        let closed = self.teller.until_closed();
        tokio::pin!(closed);
        let why = loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break "signal",
                _ = terminate.recv() => break "signal",
                () = &mut closed => break "output_closed",
                () = sleep_until(end) => break "duration",
                ended = child::ended(&mut self.child) => {
                    ended?;
                    break "command";
                }
                () = sleep_until(stats) => {
                    stats += STATS_PERIOD;
                    if json(self.arguments) {
                        self.live.reconcile(false)?;
                    }
                    self.teller.stats(&self.live)?;
                }
                told = self.live.next() => {
                    let told = told?;
                    if self.tell(told)? {
                        break "max_findings";
                    }
                }
            }
        };
        if why != "max_findings" {
            let told = self.live.finish()?;
            self.tell(told)?;
        }
        self.live.reconcile(true)?;
        let written = self.teller.stop(&self.live, why)?;
        Ok(self.exit(written))
    }

    /// Tells what there is; true when no more is wanted.
    fn tell(&mut self, told: Vec<crate::live::Told>) -> Result<bool> {
        for one in told {
            self.teller.tell(one, self.live.wall_minus_boot_ns())?;
            if self.arguments.max_findings.is_some_and(|most| self.teller.findings() >= most) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn exit(&self, written: bool) -> Exit {
        let failed = self
            .arguments
            .fail_on
            .is_some_and(|least| self.teller.worst().is_some_and(|worst| worst >= least));
        match (&self.child, failed) {
            (_, true) => Exit::Found,
            (Some(child), false) => child.exit(),
            (None, false) if written => Exit::Done,
            (None, false) => Exit::Failure,
        }
    }
}

/// The format in which this run writes.
fn json(arguments: &WatchArgs) -> bool {
    arguments.format() == Format::Json
}
