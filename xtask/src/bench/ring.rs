//! A ring that is far too small: what is lost is counted, to the last record.

use super::{
    counts::Counts,
    part::Size,
    round::sample,
    storm::{Family, Storm, TOLD},
    table::Row,
    trial::Report,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::Path;

/// The ring's default size, and the smallest that the kernel takes.
const RINGS: &[&str] = &["8M", "4K"];

/// A process that dies by a signal, or is sent SIGPIPE, makes a record too, wherever it is: no filter leaves it out.
/// A storm in which that happened is repeated at most so often.
const TRIES: usize = 5;

/// Rounds, and connections of a storm.
fn asked(size: Size) -> (usize, u32) {
    (size.pairs.unwrap_or(10), size.connections.unwrap_or(20_000))
}

/// What will be done, a line each.
pub(crate) fn about(size: Size) -> String {
    let (rounds, connections) = asked(size);
    format!(
        "{rounds} storms of {connections} connections under `watch --json` with a ring of each size: {}\n  \
         records delivered and records lost must be as many as a storm makes, exactly",
        RINGS.join(", "),
    )
}

/// Minutes on a quiet machine.
pub(crate) fn minutes(size: Size) -> usize {
    (asked(size).0 * RINGS.len()).div_ceil(25)
}

/// Measures it; an error where the sums differ, or where nothing was lost though nearly everything had to be.
pub(crate) fn measure(size: Size, program: &Path, report: &mut Report) -> Result<()> {
    let (rounds, connections) = asked(size);
    let storm = Storm::prepare(Family::Ipv4, connections)?;
    let ports: Vec<String> = storm.ports()?.iter().map(ToString::to_string).collect();
    let ports = ports.join(",");
    let made = f64::from(connections) * TOLD;
    for ring in RINGS {
        let mut all = Vec::new();
        for number in 1..=rounds {
            let counts = storm_under(ring, &ports, &storm, program, made)
                .with_context(|| format!("with a ring of {ring}"))?;
            eprintln!(
                "ring of {ring} {number}/{rounds}: {} delivered, {} lost",
                counts.delivered, counts.lost
            );
            all.push(counts);
        }
        let of = |figure: &dyn Fn(&Counts) -> f64| all.iter().map(figure).collect::<Vec<_>>();
        let row = |figure: &str, values| Row::new(format!("ring of {ring}: {figure}"), "", values);
        let lost = of(&|counts| counts.lost);
        report.rows.extend([
            row("records that a storm makes", vec![made]),
            row("delivered", of(&|counts| counts.delivered)),
            if *ring == RINGS[0] {
                row("lost", lost).goal("0")
            } else {
                ensure!(lost.iter().all(|lost| *lost > 0.0), "a ring of {ring} lost nothing");
                row("lost", lost)
            },
            row("delivered and lost, less what was made", of(&|counts| sent(counts) - made)).goal("0"),
        ]);
    }
    report.remarks.push(format!(
        "{connections} connections a storm, each of which makes {TOLD} records: into CLOSE_WAIT, and out of it."
    ));
    Ok(())
}

/// A storm under a ring of this size in which nobody else made records.
fn storm_under(ring: &str, ports: &str, storm: &Storm, program: &Path, made: f64) -> Result<Counts> {
    // What others do at sockets is filtered, and so is neither delivered nor lost.
    let flags = ["--ring-size", ring, "--port", ports, "--netns", "/proc/self/ns/net"];
    let mut sums = Vec::new();
    while sums.len() < TRIES {
        let counts = sample(program, Some(&flags), storm)?.watched.context("tcptrace was there")?.counts;
        if adds_up(&counts, made)? {
            return Ok(counts);
        }
        sums.push(sent(&counts));
    }
    bail!("{made} records were made, but {sums:?} were delivered or lost")
}

/// Records that programs had to hand over.
fn sent(counts: &Counts) -> f64 {
    counts.delivered + counts.ring_full
}

/// Whether each record that was made was delivered or counted as lost, and no more; an error where one is missing.
/// The kernel does not tell of which socket an event was that met two running programs: it may have been somebody
/// else's.
fn adds_up(counts: &Counts, made: f64) -> Result<bool> {
    let sum = sent(counts);
    ensure!(
        made <= sum + counts.recursion,
        "{} delivered and {} lost, but {made} made",
        counts.delivered,
        counts.lost
    );
    Ok(sum <= made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_too_few_or_too_many_is_seen() {
        let counts = |delivered, ring_full, recursion| Counts {
            delivered,
            lost: ring_full + recursion,
            ring_full,
            recursion,
            ..Counts::default()
        };
        let verdict = |counts| adds_up(&counts, 100.0).ok();
        assert_eq!(verdict(counts(60.0, 40.0, 0.0)), Some(true));
        assert_eq!(verdict(counts(60.0, 39.0, 1.0)), Some(true));
        assert_eq!(verdict(counts(60.0, 40.0, 7.0)), Some(true), "somebody else's");
        assert_eq!(verdict(counts(60.0, 41.0, 0.0)), Some(false));
        assert_eq!(verdict(counts(60.0, 39.0, 0.0)), None);
    }
}
