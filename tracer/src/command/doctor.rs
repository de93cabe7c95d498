//! `tcptrace doctor`: what this kernel and these rights allow, and what is lost.

use crate::{
    cli::{DoctorArgs, exit::Exit},
    engine::Polling,
    kernel::{
        attach::Options,
        hooks::HOOKS,
        namespace::{NoTcpDiag, SockDiag},
        probes::{Probes, Status},
        refusal::{Refusal, prepare},
        rights::{self, Lack, Lockdown},
        way::Way,
    },
    pattern::{CATALOGUE, Host, POLL_PERIOD, POLL_SHARE, Pattern},
    record::run::Probe,
    time::Spoken,
};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use tracer_common::settings::Settings;

/// Bytes of the ring of a trial: the least there is.
const RING: u32 = 4_096;
/// Patterns that are proved by a question for one socket, or for the listeners.
const ASKED: [&str; 4] =
    ["accept_queue_fin", "accept_queue_overflow", "peer_stuck_in_close_wait", "syn_queue_overflow"];

/// Something that a run can do without.
#[derive(Serialize)]
struct Limit {
    missing: Vec<String>,
    lost: &'static str,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    kernel: String,
    architecture: &'static str,
    /// Whether the kernel shows its types.
    btf: bool,
    /// Where else they are read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    btf_file: Option<PathBuf>,
    lockdown: &'static str,
    missing_capabilities: Vec<String>,
    /// What else these rights do not allow.
    limits: Vec<Limit>,
    /// Kernel structure members that records lack here.
    absent_members: Vec<&'static str>,
    probes: Vec<Examined>,
    /// Whether the kernel can be asked for single sockets (`sock_diag`).
    socket_questions: &'static str,
    /// Patterns that cannot be told here.
    lost_patterns: Vec<&'static str>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip)]
    exit: Option<Exit>,
    #[serde(skip)]
    verifier: Vec<String>,
}

/// A probe, and its programs.
#[derive(Serialize)]
struct Examined {
    #[serde(flatten)]
    probe: Probe,
    programs: Vec<Loaded>,
    /// Whether it is missed where it is not attached.
    #[serde(skip)]
    wanted: bool,
}

/// A program in the kernel.
#[derive(Serialize)]
struct Loaded {
    name: String,
    /// How many instructions the kernel's verifier walked; absent where the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_instructions: Option<u32>,
}

/// Attaches every probe once, and reports.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &DoctorArgs) -> Result<Exit> {
    let report = examine(arguments)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report).context("writing the report")?)?;
    } else if arguments.verifier {
        for program in report.probes.iter().flat_map(|probe| &probe.programs) {
            writeln!(out, "{}\t{}", program.name, program.instructions())?;
        }
    } else {
        show(&report, arguments.verbose > 0, &mut out)?;
    }
    if arguments.verbose >= 2 {
        for log in &report.verifier {
            writeln!(std::io::stderr(), "{log}")?;
        }
    }
    Ok(report.exit.unwrap_or(Exit::Done))
}

fn examine(arguments: &DoctorArgs) -> Result<Report> {
    let lockdown = match rights::lockdown() {
        Some(Lockdown::None) => "none",
        Some(Lockdown::Integrity) => "integrity",
        Some(Lockdown::Confidentiality) => "confidentiality",
        None => "unknown",
    };
    let limit =
        |(lacks, lost): (Vec<Lack>, _)| Limit { missing: lacks.into_iter().map(Lack::short).collect(), lost };
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: kernel_release(),
        architecture: std::env::consts::ARCH,
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        btf_file: arguments.btf.clone(),
        lockdown,
        missing_capabilities: rights::missing()?,
        limits: rights::limits()?.into_iter().map(limit).collect(),
        absent_members: Vec::new(),
        probes: Vec::new(),
        socket_questions: "unknown",
        lost_patterns: Vec::new(),
        verdict: "",
        why: None,
        exit: None,
        verifier: Vec::new(),
    };
    let attached = match attach(arguments) {
        Ok(attached) => Ok(attached),
        Err(error) => Err(error.downcast::<Refusal>()?),
    };
    let (verdict, exit) = match attached {
        Err(Refusal::Rights(why)) => {
            report.why = Some(why);
            ("rights are missing: what the probes would say could not be checked", Exit::Degraded)
        }
        Err(Refusal::Kernel(why)) => {
            report.why = Some(why);
            report.lost_patterns = CATALOGUE.iter().map(|pattern| pattern.id).collect();
            ("this kernel cannot be traced", Exit::Impossible)
        }
        Err(Refusal::File(why)) => {
            report.why = Some(why);
            ("the file is no BTF: what the probes would say could not be checked", Exit::Usage)
        }
        Ok((absent, probes)) => {
            report.absent_members = absent;
            let examined = probe_records(&probes).into_iter().zip(&probes.statuses);
            let examined = examined.map(|(probe, status)| Examined {
                probe,
                programs: loaded(&probes, status),
                wanted: !matches!(&status.outcome, Err(refusal) if refusal.unwanted),
            });
            report.probes = examined.collect();
            for status in &probes.statuses {
                if let Err(refusal) = &status.outcome {
                    report.lost_patterns.extend(lost_without(status.hook.program));
                    report.verifier.extend(refusal.verifier.clone());
                }
            }
            let diag = SockDiag::open().map_err(|error| error.is::<NoTcpDiag>());
            report.socket_questions = match diag {
                Ok(_) => "yes",
                Err(true) => "no: the module tcp_diag is not loaded",
                Err(false) => "no",
            };
            if diag.is_err() {
                report.lost_patterns.extend(ASKED);
            }
            report.lost_patterns.sort_unstable();
            report.lost_patterns.dedup();
            let refused = |examined: &Examined| examined.wanted && examined.probe.attached.is_none();
            let refused = report.probes.iter().any(refused);
            let limited = !report.absent_members.is_empty() || !report.limits.is_empty();
            match &probes.statuses[0].outcome {
                Err(refusal) if refusal.rights => {
                    ("the kernel lets this process trace nothing", Exit::Degraded)
                }
                Err(_) => ("this kernel cannot be traced", Exit::Impossible),
                Ok(_) if refused || limited || diag.is_err() => {
                    ("degraded: see what is lost", Exit::Degraded)
                }
                Ok(_) => ("everything is to be had", Exit::Done),
            }
        }
    };
    (report.verdict, report.exit) = (verdict, Some(exit));
    Ok(report)
}

/// Attaches what can be attached; the members that this kernel lacks, and the probes.
fn attach(arguments: &DoctorArgs) -> Result<(Vec<&'static str>, Probes)> {
    let (types, vocabulary) = prepare(arguments.btf.as_deref())?;
    let options = Options { ring_bytes: RING, backend: arguments.backend, ..Options::default() };
    let settings = if arguments.verifier { Settings::EVERYTHING } else { Settings::NONE };
    let probes = Probes::attach(&settings, &vocabulary, &types, options, |_| None)?;
    Ok((vocabulary.absent, probes))
}

/// The patterns that cannot be told without a program.
pub(super) fn lost_without(program: &'static str) -> impl Iterator<Item = &'static str> {
    let lost = move |pattern: &&&Pattern| program == HOOKS[0].program || pattern.needs.contains(&program);
    CATALOGUE.iter().filter(lost).map(|pattern| pattern.id)
}

/// Each probe as records tell it.
pub(super) fn probe_records(probes: &Probes) -> Vec<Probe> {
    let record = |status: &Status| {
        let attached = status.outcome.as_ref().ok();
        let point = attached.map(|attached| attached.point.clone());
        Probe {
            name: status.hook.program,
            point: point.unwrap_or_else(|| status.hook.point.name().to_owned()),
            attached: attached.map(|attached| attached.way.name()),
            why_not: status.outcome.as_ref().err().map(|refusal| refusal.why.clone()),
            lost: attached.map_or(Some(status.hook.without), |attached| attached.lacks),
        }
    };
    probes.statuses.iter().map(record).collect()
}

/// The programs of a probe.
fn loaded(probes: &Probes, status: &Status) -> Vec<Loaded> {
    let programs = status.outcome.as_ref().map_or_else(|_| Vec::new(), |attached| probes.verified(attached));
    let loaded =
        |(name, verified_instructions): (&str, _)| Loaded { name: name.to_owned(), verified_instructions };
    programs.into_iter().map(loaded).collect()
}

impl Loaded {
    /// Its number of instructions, as text.
    fn instructions(&self) -> String {
        self.verified_instructions.map_or_else(|| "?".to_owned(), |count| count.to_string())
    }
}

/// Release of the running kernel, `6.12.0`.
pub(super) fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}

fn show(report: &Report, verbose: bool, out: &mut impl Write) -> Result<()> {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    writeln!(out, "tcptrace {} on Linux {} ({})", report.version, report.kernel, report.architecture)?;
    if report.architecture != "x86_64" {
        writeln!(out, "  only x86_64 is supported; what follows is what was seen all the same")?;
    }
    let given = report.btf_file.as_ref().map(|file| format!(", read from {}", file.display()));
    writeln!(out, "  BTF        {}{}", yes(report.btf), given.unwrap_or_default())?;
    writeln!(out, "  lockdown   {}", report.lockdown)?;
    let missing = &report.missing_capabilities;
    let rights =
        if missing.is_empty() { "enough".to_owned() } else { format!("missing {}", missing.join(", ")) };
    writeln!(out, "  rights     {rights}")?;
    for limit in &report.limits {
        writeln!(out, "        without {}, not seen: {}", limit.missing.join(", "), limit.lost)?;
    }
    writeln!(out, "  sock_diag  {}", report.socket_questions)?;
    for Examined { probe, programs, wanted } in &report.probes {
        match (probe.attached, &probe.why_not) {
            (Some(how), _) => {
                writeln!(out, "  ok    {:<15} {how} {}", probe.name, probe.point)?;
                if let Some(lost) = probe.lost {
                    writeln!(out, "        not seen there: {lost}")?;
                }
                if verbose {
                    let count = |program: &Loaded| format!("{} {}", program.name, program.instructions());
                    let counts: Vec<_> = programs.iter().map(count).collect();
                    writeln!(out, "        instructions verified: {}", counts.join(", "))?;
                }
            }
            (None, why) => {
                let mark = if *wanted { "FAIL" } else { "off" };
                writeln!(out, "  {mark:<5} {:<15} {}", probe.name, why.as_deref().unwrap_or("unknown"))?;
                writeln!(out, "        without it: {}", probe.lost.unwrap_or("nothing"))?;
            }
        }
    }
    if !report.absent_members.is_empty() {
        writeln!(out, "  not in this kernel: {}", report.absent_members.join(", "))?;
    }
    if !report.lost_patterns.is_empty() {
        writeln!(out, "  cannot be told: {}", report.lost_patterns.join(", "))?;
    }
    let looks = Polling::of(&Host::default(), |_| true);
    writeln!(
        out,
        "  recurring looks at what makes no event, together at most {} of a CPU:",
        POLL_SHARE.default
    )?;
    writeln!(out, "        accept queues every {}", POLL_PERIOD.default)?;
    if let Some(often) = looks.sockets {
        writeln!(out, "        open sockets every {} (a quarter of the shortest threshold)", Spoken(often))?;
    }
    for hook in HOOKS.iter().filter(|hook| hook.taxes_calls) {
        let needing: Vec<&str> = lost_without(hook.program).collect();
        // At the bodies of the calls it costs no other one.
        let own =
            |probe: &&Probe| probe.name == hook.program && probe.attached == Some(Way::Tracepoint.name());
        let Some(probe) = report.probes.iter().map(|examined| &examined.probe).find(own) else { continue };
        // The one tracepoint of all calls runs the program at each.
        let price = if probe.point == hook.point.name() { "30 to 75" } else { "85 or more" };
        writeln!(out, "  price of {}: every system call of the host takes {price} ns longer", hook.program)?;
        writeln!(out, "        `watch --no-syscalls` leaves it out; not told then, or not in full:")?;
        writeln!(out, "        {}", needing.join(", "))?;
    }
    writeln!(out, "{}", report.verdict)?;
    if let Some(why) = &report.why {
        writeln!(out, "  {why}")?;
    }
    Ok(())
}
