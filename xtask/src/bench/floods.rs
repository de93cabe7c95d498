//! A scan of all ports and floods of SYNs: `accuracy --floods` makes and judges them, its numbers are taken over.

use super::{counts::losses, part::Size, table::Row, trial::Report};
use crate::verb::accuracy;
use anyhow::{Context as _, Result, ensure};
use std::{path::Path, process::Stdio};

/// What will be done, a line each.
pub(crate) fn about(_: Size) -> String {
    "a scan of all ports, and floods of SYNs to a listener and to a closed port, in namespaces of their own"
        .to_owned()
}

/// Runs it.
pub(crate) fn measure(_: Size, _: &Path, report: &mut Report) -> Result<()> {
    let mut command = accuracy::command()?;
    let output =
        command.arg("--floods").stderr(Stdio::inherit()).output().context("could not run accuracy")?;
    let text = String::from_utf8(output.stdout).context("accuracy printed no text")?;
    let (floods, rest) = read(&text);
    // It fails where a number is not as it should be, and says so.
    let told = output.status.success() || !rest.is_empty();
    ensure!(!floods.is_empty() && told, "accuracy failed ({}): {text}", output.status);
    report.rows.extend(floods.iter().flat_map(Flood::rows));
    report.remarks.extend(rest.iter().map(|line| format!("Not as it should be: {line}.")));
    Ok(())
}

/// What one flood has cost the daemon.
#[derive(Debug, Default, PartialEq)]
struct Flood<'a> {
    name: &'a str,
    seconds: f64,
    /// CPU time in user space and in the kernel, seconds.
    cpu: [f64; 2],
    /// Memory that it took, MiB.
    memory: f64,
    lines: f64,
    /// Records, whatever the cause.
    lost: f64,
}

impl Flood<'_> {
    fn rows(&self) -> [Row; 4] {
        let Self { name, seconds, .. } = self;
        let row = |what: &str, unit, value| Row::new(format!("{name}: {what}"), unit, vec![value]);
        [
            row(&format!("CPU time of the daemon, in {seconds:.0} s"), "s", self.cpu.iter().sum()),
            row("memory it takes", "MiB", self.memory),
            row("lines", "", self.lines).goal("≤ 200"),
            row("records lost", "", self.lost).goal("0"),
        ]
    }
}

/// The floods in the output of `accuracy`, and the lines after them, each of which says what is wrong.
fn read(text: &str) -> (Vec<Flood<'_>>, Vec<&str>) {
    let (mut floods, mut rest) = (Vec::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut below = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
            below.push(line);
        }
        match flood(line, &below) {
            Some(flood) => floods.push(flood),
            None => rest.push(line),
        }
    }
    (floods, rest)
}

fn flood<'a>(line: &'a str, below: &[&str]) -> Option<Flood<'a>> {
    let (name, seconds) = line.strip_suffix(" s")?.rsplit_once(", ")?;
    let [cost, lines, counts] = below else { return None };
    let words: Vec<&str> = cost.split_whitespace().map(|word| word.trim_end_matches([',', ';'])).collect();
    let before = |word: &str| words.iter().position(|other| *other == word)?.checked_sub(2);
    let number = |index: usize| words.get(index)?.parse::<f64>().ok();
    let more = words.iter().position(|word| *word == "more")?.checked_sub(2)?;
    Some(Flood {
        name,
        seconds: seconds.parse().ok()?,
        cpu: [number(before("user")?)?, number(before("kernel")?)?],
        memory: number(more)?,
        lines: lines.trim().split(' ').next()?.parse().ok()?,
        lost: losses(counts.rsplit_once("lost {")?.1.strip_suffix('}')?)?
            .iter()
            .map(|(_, count)| count)
            .sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        scan of 65535 ports, 3.2 s\n  \
        CPU of the watcher 0.5 s user, 0.25 s kernel; memory 20 MiB before, 7 MiB more at most\n  \
        12 lines written, which tell of {\"connection_refused\": 65535}; RSTs counted by the kernel 65535\n  \
        seen 9, delivered 8, suppressed {\"filtered\":0}, lost {\"no_storage\":1,\"recursion\":0,\"ring_full\":2}\n\
        scan of 65535 ports: lines: 999, not 1..=200\n";

    #[test]
    fn a_flood_is_read_and_what_is_wrong_with_it() {
        let (floods, rest) = read(TEXT);
        let cpu = [0.5, 0.25];
        let name = "scan of 65535 ports";
        assert_eq!(floods, [Flood { name, seconds: 3.2, cpu, memory: 7.0, lines: 12.0, lost: 3.0 }]);
        assert_eq!(rest, ["scan of 65535 ports: lines: 999, not 1..=200"]);
    }

    #[test]
    fn other_text_is_no_flood() {
        assert_eq!(read("error: it took 3 s\n"), (Vec::new(), vec!["error: it took 3 s"]));
    }
}
