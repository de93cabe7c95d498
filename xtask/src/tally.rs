//! Adds up what the test binaries report.

use std::{collections::BTreeSet, mem, process::ExitCode};

/// The sums over every test binary.
///
/// A live test that cannot run here passes after printing `SKIP name: reason` at the start of a line; it counts as
/// skipped, not as passed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    reasons: Vec<String>,
    /// What the binary whose report is being read has skipped: a reason that is shown twice counts once.
    announced: BTreeSet<String>,
}

impl Tally {
    /// Reads one line of what `cargo test -- --show-output` prints.
    ///
    /// Only the result lines are counted: a line about one test may be torn by what its children print.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(skip) = line.strip_prefix("SKIP ") {
            self.announced.insert(skip.trim_end().to_owned());
        } else if let Some([passed, failed, ignored]) = result(line) {
            self.passed += passed.saturating_sub(self.announced.len());
            self.failed += failed;
            self.skipped += ignored + self.announced.len();
            self.reasons.extend(mem::take(&mut self.announced));
        } else if let Some((name, outcome)) = outcome(line) {
            if outcome == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                self.reasons.push(format!("{name}{}", reason.replacen(", ", ": ", 1)));
            }
        }
    }

    /// Counts a step that failed without a test having failed: formatting, lints, a test that does not compile.
    pub(crate) fn fail(&mut self, step: String) {
        self.failed += 1;
        self.failures.push(step);
    }

    /// Counts what was found to be as it should.
    pub(crate) fn pass(&mut self, count: usize) {
        self.passed += count;
    }

    /// Counts what could not be run, with the reason.
    pub(crate) fn skip(&mut self, reason: String) {
        self.skipped += 1;
        self.reasons.push(reason);
    }

    /// How many tests and steps have failed so far.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// The names of what failed.
    #[cfg(test)]
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Shows what was skipped and what failed, and the sums; the exit code that stands for them.
    pub(crate) fn finish(&self) -> ExitCode {
        println!();
        self.reasons.iter().for_each(|skipped| println!("skipped {skipped}"));
        self.failures.iter().for_each(|failed| println!("failed {failed}"));
        println!("{}", self.closing());
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// The closing line.
    pub(crate) fn closing(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// `test a::b ... ok`: the name and what became of it.
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.trim_end().split_once(" ... ")
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`: the three numbers.
fn result(line: &str) -> Option<[usize; 3]> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |kind: &str| counts.split("; ").find_map(|part| part.strip_suffix(kind)?.parse().ok());
    Some([count(" passed")?, count(" failed")?, count(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn binaries_are_added_up() {
        let tally = tally(
            "running 3 tests\n\
             test a ... ok\n\
             test b::c - should panic ... FAILED\n\
             test src/d.rs - E (line 3) ... FAILED\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 11 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.20s\n",
        );
        assert_eq!(tally.closing(), "14 passed, 2 failed, 0 skipped");
        assert_eq!(tally.failures, ["b::c - should panic", "src/d.rs - E (line 3)"]);
    }

    #[test]
    fn a_test_that_skips_itself_has_not_passed() {
        let tally = tally(
            "---- refused stdout ----\n\
             SKIP refused: needs root\n\
             SKIP refused: needs root\n\
             a line that mentions SKIP refused\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             SKIP refused: needs root\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(tally.closing(), "2 passed, 0 failed, 2 skipped");
        assert_eq!(tally.reasons, ["refused: needs root", "refused: needs root"]);
    }

    #[test]
    fn ignored_tests_are_skipped_with_their_reason() {
        let tally = tally(
            "test slow ... ignored, takes an hour\n\
             test src/lib.rs - Engine (line 3) ... ignored\n\
             test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(tally.closing(), "0 passed, 0 failed, 2 skipped");
        assert_eq!(tally.reasons, ["slow: takes an hour", "src/lib.rs - Engine (line 3)"]);
    }

    #[test]
    fn a_torn_line_does_not_change_the_sums() {
        let tally = tally(
            "test refused ... a child's line\n\
             FAILED\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(tally.closing(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn checks_that_are_no_tests_are_added_up() {
        let mut tally = tally(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        tally.pass(1);
        assert_eq!(tally.closing(), "4 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_step_that_fails_shows_in_the_closing_line() {
        let mut tally = Tally::default();
        tally.fail("cargo fmt --check".to_owned());
        assert_eq!(tally.closing(), "0 passed, 1 failed, 0 skipped");
    }
}
