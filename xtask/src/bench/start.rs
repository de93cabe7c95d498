//! How long `watch --json` takes until everything is attached, and the memory it then has.

use super::{
    machine, part::Size, process, process::Sockets, round::Beside as _, table::Row, trial::Report,
    watcher::Watcher,
};
use anyhow::Result;
use std::{path::Path, time::Instant};

/// TCP sockets that exist already, both ends of half as many connections.
const SOCKETS: u32 = 100_000;

/// Starts of each kind.
fn starts(size: Size) -> usize {
    size.pairs.unwrap_or(11)
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    format!("{} starts on the host as it is, and as many with {SOCKETS} more sockets", starts(size))
}

/// Measures it.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let loader = process::build("sockets")?;
    report.rows.extend(rows("this host as it is", ["≤ 300", "≤ 25"], size, program)?);
    let sockets = Sockets::open(&loader, SOCKETS, 1)?;
    let title = format!("{SOCKETS} sockets in another namespace");
    report.rows.extend(rows(&title, ["≤ 1,000", ""], size, program)?);
    drop(sockets);
    report.remarks.push("A start is over when its `start` record was read from the pipe.".to_owned());
    Ok(())
}

/// Starts it again and again.
fn rows(title: &str, goals: [&str; 2], size: Size, program: &Path) -> Result<[Row; 2]> {
    eprintln!("bench: start: {title}");
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..starts(size) {
        let began = Instant::now();
        let watcher = Watcher::start(program, &["--quiet"])?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        memory.push(machine::resident_mb(watcher.pid())?);
        Box::new(watcher).stop()?;
    }
    Ok([
        Row::new(format!("{title}: from exec to the `start` record"), "ms", times).goal(goals[0]),
        Row::new(format!("{title}: resident memory then"), "MB", memory).goal(goals[1]),
    ])
}
