//! Every situation of the demo on every kernel, by every means of attaching, held against what each can show.

mod document;
mod gap;
mod gaps;
mod line;

use crate::{
    tally::Tally,
    vm::{Machine, Run, side_by_side},
};
use anyhow::{Result, bail};
use gap::Verdict;
use line::{Line, sum};
use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(crate) use document::write as write_document;

/// The means of attaching.
pub(crate) const BACKENDS: &[&str] = &["auto", "tracepoint", "fentry", "kprobe"];

/// A run takes about a minute.
const LIMIT: Duration = Duration::from_mins(6);

/// How many demos a boot runs.
const DEMOS: usize = 2;

/// What is to be run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan<'a> {
    /// By these means, or by all.
    pub(crate) backends: &'a [&'a str],
    /// Which paths the situations take.
    pub(crate) turn: usize,
}

/// One boot.
struct Task<'a> {
    machine: &'a Machine,
    backend: &'a str,
}

/// Boots each machine for each means, as many at a time as there are CPUs, and adds up what became of the situations.
pub(crate) fn run(plan: Plan<'_>, machines: &[Machine], tally: &mut Tally) -> Result<()> {
    let means = || BACKENDS.iter().filter(|name| plan.backends.is_empty() || plan.backends.contains(name));
    let tasks = machines.iter().flat_map(|machine| means().map(move |backend| Task { machine, backend }));
    let tasks = tasks.collect();
    let tally = Mutex::new(tally);
    side_by_side(tasks, |task| {
        let outcome = task.run(plan.turn)?;
        outcome.add_to(&task, &mut tally.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    })
}

/// What became of the situations of one boot.
enum Outcome {
    /// The demo did not come to its end; what the kernel and it said.
    Broken(String),
    /// Each situation with its verdict, and how long it took.
    Judged(Vec<(Line, Verdict)>, Duration),
}

impl Task<'_> {
    fn name(&self) -> String {
        format!("Linux {} by {}", self.machine.release(), self.backend)
    }

    fn run(&self, turn: usize) -> Result<Outcome> {
        eprintln!("> {}", self.name());
        let demo = format!("tcptrace demo --table --backend {}", self.backend);
        // First what could not be told apart from what lowers limits of the whole host.
        let command = format!("{demo} --once {turn}; all=$?; {demo} --own-host; exit $((all | $?))");
        let run = Run { name: self.backend, command: &command, parameters: "", limit: LIMIT, processors: 2 };
        let ran = self.machine.run(run, |_| {})?;
        let lines = ran.output.iter().map(|line| Line::read(line)).collect::<Result<Vec<_>>>()?;
        let judge = |line: Line| {
            let verdict = gap::judge(&line, self.machine.kernel.name, self.backend);
            (line, verdict)
        };
        let judged: Vec<_> = lines.into_iter().flatten().map(judge).collect();
        // 0 or 1: every situation was told, or some were not, or making them happen failed: then no sum is told.
        let sums: Vec<usize> = ran.output.iter().filter_map(|line| sum(line)).collect();
        let ended = sums.len() == DEMOS && sums.iter().sum::<usize>() == judged.len();
        if !ended || !matches!(ran.code, Some(0 | 1)) {
            return Ok(Outcome::Broken(fs::read_to_string(&ran.console).unwrap_or_default()));
        }
        Ok(Outcome::Judged(judged, ran.took))
    }
}

impl Outcome {
    fn add_to(self, task: &Task<'_>, tally: &mut Tally) {
        let name = task.name();
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
        let again = match judged.iter().filter(|(line, _)| line.again).count() {
            0 => String::new(),
            again => format!(" ({again} at the second attempt)"),
        };
        println!(
            "{name}: {} situations, {full} told{again}, {declared} as far as this kernel shows them, {} failed ({:.0} s)",
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

/// The means that are asked for exist.
pub(crate) fn check(backends: &[&str]) -> Result<()> {
    if let Some(unknown) = backends.iter().find(|backend| !BACKENDS.contains(backend)) {
        bail!("there is no way of attaching {unknown:?}, only {}", BACKENDS.join(", "));
    }
    Ok(())
}
