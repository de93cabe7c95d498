//! `tcptrace demo`: makes the documented patterns happen and shows that they are told, on this very kernel.
//!
//! It judges the NDJSON of an ordinary `tcptrace watch`: pattern, both processes and the errno must be what the
//! demo's own processes saw, and nothing else may appear. Everything happens in private network namespaces.

pub mod stage;
pub mod verdict;
pub mod watcher;

use super::files::Files;
use crate::{
    cli::exit::Exit,
    cli::watch::DemoArgs,
    kernel::refusal::{need_host_pids, prepare},
    lab::{
        case::{self, Case},
        path::Path,
    },
    pattern,
};
use anyhow::{Context, Result, anyhow, bail};
use stage::Stage;
use std::{
    io::{IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};
use verdict::{Line, Verdicts};
use watcher::Watcher;

/// How long the demo's sockets stay in CLOSE_WAIT before that counts.
pub const LEAK_AFTER: Duration = Duration::from_secs(8);
/// How long their windows stay closed.
const STALL_AFTER: Duration = Duration::from_secs(3);
/// How long they are silent, where that is what is to be told: no other situation could stand it.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// The pattern that is told by that, and for which a round of its own is needed.
pub const SILENT: &str = "half_open_suspect";
/// How long their ends stay on their way.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// Over how long their losses are counted.
const LOSSY_OVER: Duration = Duration::from_secs(2);
/// How many of their segments that are judged by, so that a slow machine sends as many in that time.
const LOSSY_SEGMENTS: u32 = 24;
/// What makes no event is looked for by then; a wrong finding would have come, too.
pub const QUIET: Duration = Duration::from_secs(3);
/// As many situations that were not told at all are made to happen once more; where each is judged by itself, all are.
const AGAIN: usize = 4;
/// A round ends so long after all has happened, though more be told.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs the demo.
///
/// # Errors
/// When the namespaces, the processes or the watcher could not be had.
pub fn run(arguments: &DemoArgs) -> Result<Exit> {
    for id in &arguments.ids {
        let not_here = case::NOT_PLAYED.iter().find(|(other, _)| other == id && !arguments.own_host);
        if let Some((_, why)) = not_here {
            bail!("the demo does not make {id} happen: {why}");
        }
        if !cases(arguments).iter().any(|case| case.pattern == Some(id)) {
            bail!("nothing makes {id} happen yet; `tcptrace list` names the patterns");
        }
    }
    prepare(arguments.btf.as_deref())?;
    need_host_pids("telling whether the right process is named")?;
    // Hundreds of processes are talked to; where no more are allowed, making them happen says so.
    let _ = Files::allow();
    let begun = Instant::now();
    let wanted =
        |case: &Case| case.pattern.is_none_or(|id| arguments.ids.is_empty() || arguments.ids.contains(&id));
    let silent = |case: &Case| case.pattern == Some(SILENT);
    let turn = |case: &Case, path: Path| arguments.once.is_none_or(|turn| is_turn(case, path, turn));
    let mut lines = thread::scope(|scope| {
        let aside = scope.spawn(|| {
            let any = cases(arguments).iter().any(|case| silent(case) && wanted(case));
            if any {
                round(arguments, &arguments.exclude, |case, path| {
                    silent(case) && wanted(case) && turn(case, path)
                })
            } else {
                Ok(Vec::new())
            }
        });
        let mut lines = round(arguments, &arguments.exclude, |case, path| {
            wanted(case) && !silent(case) && turn(case, path)
        })?;
        lines.extend(aside.join().map_err(|_| anyhow!("a round panicked"))??);
        anyhow::Ok(lines)
    })?;
    let missed: Vec<String> = lines.iter().filter(|line| line.missed).map(|line| line.name.clone()).collect();
    let mut second = 0;
    let bearable = arguments.table || missed.len() <= AGAIN;
    if arguments.exclude.is_empty() && !missed.is_empty() && bearable {
        if arguments.verbose > 0 {
            clear_progress();
            for line in lines.iter().filter(|line| line.missed) {
                eprintln!("missed at first: {}\n  {}", line.name, line.details.join("\n  "));
            }
        }
        // A hardened kernel may run no program while a protected process is current, and an interrupt that falls
        // into its time is then seen by nobody. What is blind stays so; what is told wrongly is not excused.
        let again = round(arguments, &[], |case, path| missed.contains(&format!("{} {path}", case.name())))?;
        for line in again.into_iter().filter(|line| line.holds) {
            if let Some(first) = lines.iter_mut().find(|first| first.name == line.name) {
                *first = Line { second: true, ..line };
                second += 1;
            }
        }
    }
    clear_progress();
    if arguments.table {
        tell(&lines)?;
    } else {
        show(&lines, arguments.verbose > 0)?;
    }
    let wrong = lines.iter().filter(|line| !line.holds).count();
    let off = arguments.exclude.iter().copied().filter(|id| pattern::by_id(id).is_some()).count();
    let seconds = begun.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    if wrong == 0 {
        let paths = lines.len();
        let again = if second == 0 { String::new() } else { format!(" ({second} at the second attempt)") };
        writeln!(
            out,
            "{paths} situations, each as it happened{again}; nothing else appeared ({seconds:.0} s)"
        )?;
        return Ok(Exit::Done);
    }
    writeln!(out, "{wrong} of {} situations were not told as they happened ({seconds:.0} s)", lines.len())?;
    if off > 0 {
        writeln!(out, "{off} patterns were switched off by --exclude")?;
    }
    Ok(Exit::Failure)
}

/// What can be made to happen.
fn cases(arguments: &DemoArgs) -> Vec<&'static Case> {
    if arguments.own_host {
        case::of_own_host().collect()
    } else {
        case::patterns().chain(case::decoys()).collect()
    }
}

/// Makes situations happen under a watcher of their own, and judges what it tells.
fn round(arguments: &DemoArgs, exclude: &[&str], wanted: impl Fn(&Case, Path) -> bool) -> Result<Vec<Line>> {
    progress("making private network namespaces");
    let stage = Stage::build(&cases(arguments), wanted)?;
    progress("attaching to the kernel");
    let mut flags = thresholds(stage.only(SILENT));
    flags.extend(stage.namespaces().iter().flat_map(|inode| ["--netns".to_owned(), inode.to_string()]));
    // Dozens of namespaces are looked at, on a machine that may be slow.
    flags.extend(["--set".to_owned(), "poll.share=25%".to_owned()]);
    flags.push(format!("--backend={}", arguments.backend.name()));
    if let Some(file) = &arguments.btf {
        flags.push(format!("--btf={}", file.to_str().context("the name of the file of --btf is no text")?));
    }
    flags.extend(exclude.iter().flat_map(|id| ["--exclude".to_owned(), (*id).to_owned()]));
    let mut watcher = Watcher::start("/proc/self/exe".as_ref(), &flags)?;
    progress(&format!("making {} situations happen", stage.len()));
    let _worlds = stage.worlds();
    let staged = stage.play().context("making the situations happen")?;
    let played = Instant::now();
    let mut verdicts = Verdicts::new(&staged);
    let mut last = played;
    while played.elapsed() < PATIENCE {
        let quiet = played.elapsed() > LEAK_AFTER + QUIET;
        let over = played.elapsed() > LEAK_AFTER + 2 * QUIET && last.elapsed() > QUIET;
        if quiet && (verdicts.all_told() || over) {
            break;
        }
        if let Some(told) = watcher.next(Duration::from_millis(200))? {
            last = Instant::now();
            verdicts.take(told.record);
            progress(&format!("{} of {} told", verdicts.told(), verdicts.expected()));
        }
    }
    let (findings, stop) = watcher.stop()?;
    // The kernel passes over programs that meet another on their CPU: what was told for want of that is marked.
    if watcher::lost(&stop) > stop["lost"]["recursion"].as_u64().unwrap_or_default() {
        bail!("the watcher lost records: {}", stop["lost"]);
    }
    for told in findings {
        verdicts.take(told.record);
    }
    Ok(verdicts.judge())
}

/// The flags of `watch` under which what the lab does in seconds counts, or, in a `silent` round, its silence.
pub fn thresholds(silent: bool) -> Vec<String> {
    let mut set = vec![
        format!("close_wait_leak.after={}s", LEAK_AFTER.as_secs()),
        format!("zero_window_stall.after={}s", STALL_AFTER.as_secs()),
        format!("stuck_closing.after={}s", STUCK_AFTER.as_secs()),
        format!("retransmission_storm.over={}s", LOSSY_OVER.as_secs()),
        format!("retransmission_storm.segments={LOSSY_SEGMENTS}"),
        // A hundred processes at once may make each other wait.
        "join.hold=500ms".to_owned(),
    ];
    if silent {
        set.push(format!("{SILENT}.after={}s", SILENT_AFTER.as_secs()));
    }
    set.into_iter().flat_map(|threshold| ["--set".to_owned(), threshold]).collect()
}

/// A line for each situation that was told on every path, and one for each path where it was not.
fn show(lines: &[Line], verbose: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut groups: Vec<(&Line, Vec<&Line>)> = Vec::new();
    for line in lines {
        let same = |(first, _): &(&Line, Vec<&Line>)| {
            (first.pattern, &first.situation) == (line.pattern, &line.situation)
        };
        match groups.iter_mut().find(|group| same(group)) {
            Some((_, group)) => group.push(line),
            None => groups.push((line, vec![line])),
        }
    }
    for (first, group) in groups {
        let right = group.iter().filter(|line| line.holds).count();
        let mark = if right == group.len() { "ok  " } else { "FAIL" };
        let told = format!("{right}/{}", group.len());
        writeln!(out, "{mark} {:<25} {:<20} {told:>5}  {}", first.pattern, first.situation, first.told)?;
        for line in group.iter().filter(|line| verbose || !line.holds) {
            writeln!(out, "       {:<16} {}", line.path, line.told)?;
            for detail in &line.details {
                writeln!(out, "         {detail}")?;
            }
        }
    }
    Ok(())
}

/// A line of fields between tabs for each: what became of it, pattern, situation, path, what differs from what
/// happened, what was told, and the details.
fn tell(lines: &[Line]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let fate = match (line.holds, line.missed) {
            (true, _) if line.second => "again",
            (true, _) => "told",
            (false, true) => "missed",
            (false, false) => "wrong",
        };
        let differs = line.differs.as_ref().map_or("nothing".to_owned(), |fields| fields.join(", "));
        let details = line.details.join(" | ");
        let fields = [fate, line.pattern, &line.situation, &line.path, &differs, &line.told, &details];
        writeln!(out, "{}", fields.map(|field| field.replace(['\t', '\n'], " ")).join("\t"))?;
    }
    Ok(())
}

/// Whether this is the path on which a situation happens in a turn: the paths of the cases take turns.
fn is_turn(case: &Case, path: Path, turn: usize) -> bool {
    let paths: Vec<Path> = case.paths().collect();
    let offset: usize = case.name().bytes().map(usize::from).sum();
    paths[(turn + offset) % paths.len()] == path
}

/// Says what goes on, on a terminal only.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what} …");
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
