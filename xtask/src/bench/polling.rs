//! What looking takes of a CPU where nothing happens: many open sockets, in few and in many network namespaces.

use super::{
    machine, part::Size, process, process::Sockets, round::Beside as _, table::Row, trial::Report,
    watcher::Watcher,
};
use anyhow::{Result, ensure};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Open sockets in all.
const SOCKETS: u32 = 100_000;
/// Network namespaces that they are spread over, beside those that are there.
const NAMESPACES: &[u32] = &[1, 50, 500];
/// What is measured at a time: more than the longest time between two looks, which their share of a CPU makes of their cost.
const WINDOW: Duration = Duration::from_mins(1);

/// How often that is measured.
fn windows(size: Size) -> usize {
    size.pairs.unwrap_or(2)
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let spread: Vec<String> = NAMESPACES.iter().map(u32::to_string).collect();
    format!(
        "{SOCKETS} sockets in {} network namespaces to which nothing happens, {} times {} s each",
        spread.join(", "),
        windows(size),
        WINDOW.as_secs()
    )
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    let seconds = windows(size) * usize::try_from(WINDOW.as_secs()).unwrap_or(usize::MAX) + 30;
    NAMESPACES.len() * seconds.div_ceil(60)
}

/// Measures it.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let loader = process::build("sockets")?;
    for namespaces in NAMESPACES {
        let sockets = Sockets::open(&loader, SOCKETS, *namespaces)?;
        let watcher = Watcher::start(program, &["--quiet"])?;
        let shares: Vec<f64> = (0..windows(size)).map(|_| share(&watcher)).collect::<Result<_>>()?;
        let memory = machine::resident_mb(watcher.pid())?;
        let counts = Box::new(watcher).stop()?;
        // Before anything of it ends.
        drop(sockets);
        ensure!(counts.lost == 0.0, "events were lost where none happened");
        let title = format!("{SOCKETS} sockets in {namespaces} namespaces");
        report.rows.push(
            Row::new(format!("{title}: CPU time of the daemon, idle"), "% of a core", shares).goal("≤ 0.5"),
        );
        report.rows.push(Row::new(format!("{title}: its resident memory"), "MB", vec![memory]));
        // Somebody else's, where it is not quiet: they cost time too.
        report.rows.push(Row::new(
            format!("{title}: records that it got all the same"),
            "",
            vec![counts.delivered],
        ));
    }
    report.remarks.push(format!("Windows of {} s; the first begins when it has started.", WINDOW.as_secs()));
    Ok(())
}

/// The share of a CPU that the daemon uses while nothing happens, in percent.
fn share(watcher: &Watcher) -> Result<f64> {
    let (began, before) = (Instant::now(), machine::time_of(watcher.pid())?);
    thread::sleep(WINDOW);
    let used = machine::time_of(watcher.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0)
}
