//! Every situation of the demo on every kernel, by every means of attaching, held against what each can show.

mod document;
mod gap;
mod gaps;
mod line;

use crate::{
    install::kernel::{KERNELS, Kernel},
    tally::Tally,
    vm::{Machine, Run, side_by_side},
};
use anyhow::{Result, bail};
use gap::Verdict;
use line::Line;
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

pub(crate) use document::write as write_document;

/// The means of attaching.
pub(crate) const BACKENDS: &[&str] = &["auto", "tracepoint", "fentry", "kprobe"];

/// A run takes about a minute.
const LIMIT: Duration = Duration::from_mins(6);

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// On these kernels, or on all.
    pub(crate) kernels: &'a [&'a str],
    /// By these means, or by all.
    pub(crate) backends: &'a [&'a str],
    /// Which paths the situations take.
    pub(crate) turn: usize,
}

/// One boot.
struct Task<'a> {
    kernel: &'static Kernel,
    release: String,
    machine: Arc<Machine>,
    backend: &'a str,
}

/// Boots each kernel for each means, as many at a time as there are CPUs, and adds up what became of the situations.
pub(crate) fn run(plan: Plan<'_>, program: &Path, tally: &mut Tally) -> Result<()> {
    let tasks = tasks(plan, program, tally)?;
    let tally = Mutex::new(tally);
    side_by_side(tasks, available_parallelism().map_or(1, usize::from), |task| {
        let outcome = task.run(plan.turn)?;
        outcome.add_to(&task, &mut tally.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    })
}

/// All boots; a kernel that the registry no longer has is skipped.
fn tasks<'a>(plan: Plan<'a>, program: &Path, tally: &mut Tally) -> Result<Vec<Task<'a>>> {
    let wanted = |name: &str, of: &[&str]| of.is_empty() || of.contains(&name);
    let mut tasks = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| wanted(kernel.name, plan.kernels)) {
        let unpacked = match kernel.fetch() {
            Ok(unpacked) => unpacked,
            Err(error) if kernel.always => return Err(error),
            Err(error) => {
                tally.skip(format!("Linux {}: {error:#}", kernel.title));
                continue;
            }
        };
        let release = unpacked.release.clone();
        let machine = Arc::new(Machine::new(kernel.name, unpacked, program)?);
        let backends = BACKENDS.iter().filter(|backend| wanted(backend, plan.backends));
        tasks.extend(backends.map(|backend| Task {
            kernel,
            release: release.clone(),
            machine: Arc::clone(&machine),
            backend,
        }));
    }
    Ok(tasks)
}

/// What became of the situations of one boot.
enum Outcome {
    /// The demo did not come to its end; what the kernel and it said.
    Broken(String),
    /// Each situation with its verdict, and how long it took.
    Judged(Vec<(Line, Verdict)>, Duration),
}

impl Task<'_> {
    fn run(&self, turn: usize) -> Result<Outcome> {
        let demo = format!("tcptrace demo --table --backend {}", self.backend);
        // First what could not be told apart from what lowers limits of the whole host.
        let command = format!("{demo} --once {turn}; all=$?; {demo} --own-host; exit $((all | $?))");
        let run = Run { name: self.backend, command: &command, parameters: "", limit: LIMIT, processors: 2 };
        let ran = self.machine.run(run, |_| {})?;
        let lines = ran.output.iter().map(|line| Line::read(line)).collect::<Result<Vec<_>>>()?;
        let judge = |line: Line| {
            let verdict = gap::judge(&line, self.kernel.name, self.backend);
            (line, verdict)
        };
        let judged: Vec<_> = lines.into_iter().flatten().map(judge).collect();
        // 0 or 1: every situation was told, or some were not; anything else ended it.
        if judged.is_empty() || !matches!(ran.code, Some(0 | 1)) {
            return Ok(Outcome::Broken(fs::read_to_string(&ran.console).unwrap_or_default()));
        }
        Ok(Outcome::Judged(judged, ran.took))
    }
}

impl Outcome {
    fn add_to(self, task: &Task<'_>, tally: &mut Tally) {
        let name = format!("Linux {} by {}", task.release, task.backend);
        let (judged, took) = match self {
            Self::Broken(said) => {
                println!("{name}: the demo did not come to its end\n{said}");
                return tally.fail(format!("{name}: the demo did not come to its end"));
            }
            Self::Judged(judged, took) => (judged, took),
        };
        let count = |wanted: &Verdict| judged.iter().filter(|(_, verdict)| verdict == wanted).count();
        let (full, declared) = (count(&Verdict::Full), count(&Verdict::AsDeclared));
        tally.pass(full + declared);
        println!(
            "{name}: {} situations, {full} told, {declared} as far as this kernel shows them, {} failed ({:.0} s)",
            judged.len(),
            judged.len() - full - declared,
            took.as_secs_f64()
        );
        for (line, verdict) in judged {
            let Verdict::Failed(why) = verdict else { continue };
            let Line { pattern, situation, path, details, .. } = line;
            println!("  {pattern}/{situation} {path} {why}\n    {details}");
            tally.fail(format!("{name}: {pattern}/{situation} {path} {why}"));
        }
    }
}

/// What is asked for exists.
pub(crate) fn check(plan: Plan<'_>) -> Result<()> {
    for name in plan.kernels {
        Kernel::named(name)?;
    }
    if let Some(unknown) = plan.backends.iter().find(|backend| !BACKENDS.contains(backend)) {
        bail!("there is no way of attaching {unknown:?}, only {}", BACKENDS.join(", "));
    }
    Ok(())
}
