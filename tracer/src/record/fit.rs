//! Keeps lines short enough for those who read them: first the longest list gives way, then long strings.

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;

/// The longest line of a `finding` or an `event` in bytes, its newline included: what a pipe takes in one piece.
pub const LONGEST_LINE: usize = 4_096;
/// The longest line of a `start`, `stats` or `stop` in bytes, its newline included.
pub const LONGEST_SUMMARY: usize = 32 << 10;
/// The longest string that is never shortened, in bytes.
const SHORT: usize = 16;
/// No string is longer than this once strings must give way.
const LONG: usize = 4_096;
/// Entries of the longest list that are kept as long as strings can give way instead.
const LEAST: usize = 2;
/// Entries of every other list when nothing else helps.
const FEW: usize = 8;

/// A record that can say less.
pub trait Shrink: Serialize + Clone {
    /// The longest line in bytes, its newline included.
    const LONGEST: usize;

    /// Entries of the list that gives way first.
    fn length(&self) -> usize {
        0
    }

    /// Keeps that many of them, at most [`Self::length`], and says how many it cut.
    fn cut(&mut self, _keep: usize) {}

    /// Strings that may be shortened; names and times are not among them.
    fn strings(&mut self) -> Vec<&mut String>;

    /// Keeps that many entries of every other list.
    fn trim(&mut self, _entries: usize) {}
}

/// A record as a line of at most [`Shrink::LONGEST`] bytes.
///
/// # Errors
/// When it has no JSON form, which is a mistake in its type.
pub fn line<R: Shrink>(record: &R) -> Result<Bytes> {
    let whole = json(record)?;
    if whole.len() <= R::LONGEST {
        return Ok(whole.into());
    }
    let mut record = record.clone();
    let length = record.length();
    if length > LEAST {
        let cut = |keep| {
            let mut record = record.clone();
            record.cut(keep);
            json(&record)
        };
        if let Some(line) = largest(LEAST, length - 1, R::LONGEST, cut)? {
            return Ok(line.into());
        }
        record.cut(LEAST);
    }
    let shortened = |longest| {
        let mut record = record.clone();
        record.strings().into_iter().for_each(|string| shorten(string, longest));
        json(&record)
    };
    if let Some(line) = largest(SHORT, LONG, R::LONGEST, shortened)? {
        return Ok(line.into());
    }
    record.strings().into_iter().for_each(|string| shorten(string, SHORT));
    record.trim(FEW);
    Ok(json(&record)?.into())
}

/// What the largest number from `low` to `high` makes that fits into `room` bytes; a larger one makes more.
fn largest(
    low: usize,
    high: usize,
    room: usize,
    make: impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    let (mut low, mut high) = (low, high);
    let mut best = None;
    while low <= high {
        let middle = low.midpoint(high);
        let line = make(middle)?;
        if line.len() <= room {
            best = Some(line);
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    Ok(best)
}

/// Cuts a string to at most `longest` bytes; what was cut ends in `…`.
fn shorten(string: &mut String, longest: usize) {
    const MARK: char = '…';
    if string.len() > longest {
        string.truncate(string.floor_char_boundary(longest.saturating_sub(MARK.len_utf8())));
        string.push(MARK);
    }
}

fn json(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(record).context("a record without a JSON form")?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::shorten;
    use crate::{
        enrich::{Container, ProcessFacts},
        finding::{self, Fact, FindingId},
        record::{
            LONGEST_LINE, LONGEST_SUMMARY, Stamp,
            finding::{FindingRecord, Processes},
            line,
            run::{Counts, LossRecord, Stats, Stop},
            sample,
        },
    };
    use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
    use serde_json::Value;

    #[test]
    fn a_cut_string_ends_in_an_ellipsis_at_a_character() {
        for (text, longest, cut) in [
            ("abcdefgh", 8, "abcdefgh"),
            ("abcdefghi", 8, "abcde…"),
            ("äöüäöü", 9, "äöü…"),
            ("ääää", 6, "ä…"),
        ] {
            let mut string = text.to_owned();
            shorten(&mut string, longest);
            assert_eq!(string, cut);
        }
    }

    /// The length of a finding's line, and what it holds.
    fn told(finding: &finding::Finding, processes: &Processes, host: &str) -> (usize, Value) {
        let stamp = Stamp { host: host.to_owned(), ..sample::stamp() };
        let line = FindingRecord::new(finding, u64::MAX, &stamp, processes).line().expect("a line");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        (line.len(), serde_json::from_slice(&line).expect("JSON"))
    }

    fn with_steps(steps: usize) -> finding::Finding {
        let mut finding = sample::finding();
        finding.timeline = finding.timeline.iter().cycle().take(steps).cloned().collect();
        finding
    }

    #[test]
    fn a_long_story_is_cut_in_its_middle_and_no_more_than_it_must() {
        let finding = with_steps(100);
        let (length, value) = told(&finding, &Processes::default(), "db1");
        let kept = value["timeline"].as_array().expect("a list");
        assert!(length <= LONGEST_LINE && length > LONGEST_LINE - 250, "{length}");
        assert_eq!(value["timeline_cut"], 100 - kept.len());
        let (_, whole) = told(&with_steps(5), &Processes::default(), "db1");
        assert_eq!(kept[..3], whole["timeline"].as_array().expect("a list")[..3], "its beginning");
        assert_eq!(kept[kept.len() - 1], whole["timeline"][4], "its end");
        assert_eq!(value["message"], finding.message, "strings are whole");
    }

    #[test]
    fn what_fits_is_left_alone() {
        let (_, value) = told(&with_steps(5), &Processes::default(), "db1");
        assert_eq!(value["timeline"].as_array().map(Vec::len), Some(5));
        assert!(value.get("timeline_cut").is_none());
    }

    #[test]
    fn long_strings_give_way_last() {
        let facts = ProcessFacts { exe: Some("/x".repeat(5_000)), ..ProcessFacts::default() };
        let finding = with_steps(100);
        let (length, value) = told(&finding, &Processes::from_iter([(4_242, facts)]), "db1");
        assert!(length <= LONGEST_LINE && length > LONGEST_LINE - 8, "{length}");
        assert_eq!(value["timeline_cut"], 98);
        assert!(value["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with('…') && exe.len() > 1_000));
        assert_eq!(value["message"], finding.message, "the shorter string is whole");
    }

    /// Any text, also such that JSON must escape.
    fn text() -> impl Strategy<Value = String> {
        ("[a-z]{1,9}|\\PC{1,9}|[\"\\\\\n\t\x1b]{1,9}", 0_usize..3_000)
            .prop_map(|(text, times)| text.repeat(times))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_finding_is_too_long(
            (message, advice, exe, cgroup, host, reason) in (text(), text(), text(), text(), text(), text()),
            (steps, facts, follows) in (0_usize..300, 0_usize..40, 0_usize..600),
            both in any::<bool>(),
        ) {
            let mut finding = with_steps(steps);
            let many = follows as u64;
            finding.follows = (0..many).map(|number| FindingId(u64::MAX - number)).collect();
            finding.also = vec!["peer_stuck_in_close_wait"; follows % 40];
            finding.missing = vec!["ring_full"; follows % 40];
            finding.facts = vec![("a_fact_with_a_rather_long_name", Fact::Text(reason.clone())); facts];
            finding.reset.iter_mut().for_each(|reset| reset.reason = Some(reason.clone()));
            (finding.message, finding.advice) = (message, advice);
            let container = Container { id: cgroup.clone(), runtime: Some("containerd") };
            let facts = ProcessFacts { exe: Some(exe), uid: Some(u32::MAX), cgroup: Some(cgroup), container: Some(container) };
            let mut processes = Processes::from_iter([(4_242, facts.clone())]);
            if both {
                processes.insert(817, facts);
            }
            let (length, value) = told(&finding, &processes, &host);
            prop_assert!(length <= LONGEST_LINE, "{length}: {value:#}");
            let kept = value["timeline"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(value["timeline_cut"].as_u64().unwrap_or(0), (steps - kept) as u64);
        }
    }

    #[test]
    fn losses_of_many_cpus_do_not_make_the_counts_too_long() {
        let time = sample::stamp().wall(sample::AT);
        let loss = LossRecord {
            cause: "ring_full",
            cpu: u32::MAX,
            count: u64::MAX,
            first_time: time.clone(),
            last_time: time,
        };
        let counts = Counts { losses: vec![loss; 4_096], ..sample::counts() };
        let common = |kind| sample::stamp().common(kind, 1, sample::AT);
        let stats = line(&Stats { common: common("stats"), counts: counts.clone() });
        let stop = line(&Stop { common: common("stop"), why: "signal", counts });
        for line in [stats, stop] {
            let line = line.expect("a line");
            let value: Value = serde_json::from_slice(&line).expect("JSON");
            let kept = value["losses"].as_array().map_or(0, Vec::len);
            assert!(line.len() <= LONGEST_SUMMARY && kept > 100, "{kept}");
            assert_eq!(value["losses_cut"], 4_096 - kept);
        }
    }

    #[test]
    fn what_was_typed_or_refused_does_not_make_the_start_too_long() {
        let mut start = sample::start();
        start.filters = vec!["--comm".to_owned(), "x".repeat(100_000)];
        start.probes.iter_mut().for_each(|probe| probe.why_not = Some("a verifier says much ".repeat(5_000)));
        assert!(line(&start).expect("a line").len() <= LONGEST_SUMMARY);
        start.filters = vec!["--pid=1".to_owned(); 10_000];
        assert!(line(&start).expect("a line").len() <= LONGEST_SUMMARY);
    }
}
