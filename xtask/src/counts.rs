//! How many instructions each kernel's verifier walks for each program, and what was kept of that: a program that
//! grows without anybody looking ends at the verifier's limit, on the kernel that nobody tried.

use crate::{install::kernel::KERNELS, tally::Tally};
use anyhow::{Context as _, Result, ensure};
use std::{collections::BTreeMap, fs, path::PathBuf};
use xtask::place;

/// By which means programs are attached; all of them can be counted in one boot.
const BACKENDS: &[&str] = &["tracepoint", "fentry", "kprobe"];
/// What a line begins with after which the programs of a backend follow.
const MARK: &str = "@verifier ";
/// How much a program may grow without a word, in hundredths.
const TOLERATED: u64 = 10;
/// The verifier walks no more than that.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/bpf.h>, `BPF_COMPLEXITY_LIMIT_INSNS`
const LIMIT: u64 = 1_000_000;

/// A program, and the backend by which it was attached.
type Row = (String, String);

/// What a kernel tells of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cell {
    /// It is not attached there.
    #[default]
    Absent,
    /// It is, and the kernel does not say what its verifier walked: before Linux 5.16.
    Untold,
    /// So many instructions.
    Count(u64),
}

/// The counts of all kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// A cell for each of [`KERNELS`], in their order.
    rows: BTreeMap<Row, Vec<Cell>>,
    /// Which of [`KERNELS`] were looked at, and the backends by which anything was attached there.
    seen: BTreeMap<usize, Vec<String>>,
}

/// What a shell beside tcptrace does so that [`Counts::read`] finds the counts in its output.
///
/// `doctor` fails where something is lost; that is for others to judge.
pub(crate) fn command() -> String {
    let one = |backend: &&str| {
        format!("echo '{MARK}{backend}'; tcptrace doctor --verifier --backend {backend}; true")
    };
    BACKENDS.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The place of a kernel among [`KERNELS`].
fn place_of(kernel: &str) -> Result<usize> {
    let place = KERNELS.iter().position(|other| other.name == kernel);
    place.with_context(|| format!("there is no kernel {kernel:?} to count on"))
}

impl Counts {
    /// Takes what [`command`] printed on a kernel; lines of others are passed over.
    ///
    /// # Errors
    /// When a backend is missing, or has no program.
    pub(crate) fn read(&mut self, kernel: &str, output: &[String]) -> Result<()> {
        let place = place_of(kernel)?;
        let mut backend = None;
        for line in output {
            if let Some(begun) = line.strip_prefix(MARK) {
                backend = Some(begun.trim().to_owned());
            } else if let Some(backend) = &backend
                && let Some((program, count)) = line.split_once('\t')
                && let Some(cell) = Cell::of(count)
            {
                let seen = self.seen.entry(place).or_default();
                if !seen.contains(backend) {
                    seen.push(backend.clone());
                }
                let row = self.rows.entry((program.to_owned(), backend.clone()));
                row.or_insert_with(|| vec![Cell::Absent; KERNELS.len()])[place] = cell;
            }
        }
        for backend in BACKENDS {
            let seen = self.seen.get(&place).is_some_and(|seen| seen.iter().any(|seen| seen == backend));
            ensure!(seen, "Linux {kernel} attached no program by {backend}");
        }
        Ok(())
    }

    /// What was kept.
    ///
    /// # Errors
    /// When the file is not there, or is not as [`Self::keep`] writes it.
    pub(crate) fn kept() -> Result<Self> {
        let path = path();
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not as --update writes it", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        ensure!(lines.next() == Some(&heading()), "its columns are not {:?}", heading());
        let mut counts = Self::default();
        for line in lines {
            let mut words = line.split('\t');
            let row = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let cells: Vec<_> = words.map(Cell::of).collect::<Option<_>>().context(line.to_owned())?;
            ensure!(cells.len() == KERNELS.len(), "{line}");
            counts.rows.insert((row.0.to_owned(), row.1.to_owned()), cells);
        }
        Ok(counts)
    }

    /// Writes the file anew.
    ///
    /// # Errors
    /// When not every kernel was counted, or it cannot be written.
    pub(crate) fn keep(&self) -> Result<()> {
        ensure!(self.seen.len() == KERNELS.len(), "only the counts of every kernel can be kept");
        let path = path();
        fs::write(&path, self.table()).with_context(|| format!("could not write {}", path.display()))
    }

    /// The file: a line for each program and backend.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![
            "# Instructions that the kernel's verifier walks for each program when all is asked for; its limit is"
                .to_owned(),
            "# 1,000,000. '-': not attached on this kernel; '?': attached, and the kernel does not say.".to_owned(),
            "# `cargo xtask verifier --update` writes this file.".to_owned(),
            heading(),
        ];
        for ((program, backend), cells) in &self.rows {
            let cells = cells.iter().map(|cell| cell.word());
            let words = [program.clone(), backend.clone()].into_iter().chain(cells);
            lines.push(words.collect::<Vec<_>>().join("\t"));
        }
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

impl Cell {
    fn of(word: &str) -> Option<Self> {
        match word {
            "-" => Some(Self::Absent),
            "?" => Some(Self::Untold),
            number => number.parse().ok().map(Self::Count),
        }
    }

    fn word(self) -> String {
        match self {
            Self::Absent => "-".to_owned(),
            Self::Untold => "?".to_owned(),
            Self::Count(count) => count.to_string(),
        }
    }
}

fn path() -> PathBuf {
    place::workspace().join("tracer/docs/verifier.tsv")
}

fn heading() -> String {
    let kernels = KERNELS.iter().map(|kernel| kernel.name);
    ["program", "backend"].into_iter().chain(kernels).collect::<Vec<_>>().join("\t")
}

/// Judges counts by those that were kept, and adds up one check for each kernel and backend that was counted; `say` is
/// given a line for each program whose count is another one now.
pub(crate) fn judge(kept: &Counts, now: &Counts, tally: &mut Tally, mut say: impl FnMut(&str)) {
    for (&place, backends) in &now.seen {
        for backend in backends {
            let kernel = KERNELS[place].name;
            let check = format!("verifier, Linux {kernel}, {backend}");
            let rows = kept.rows.keys().chain(now.rows.keys()).filter(|(_, other)| other == backend);
            let mut rows: Vec<&Row> = rows.collect();
            rows.sort_unstable();
            rows.dedup();
            let of = |counts: &Counts, row| counts.rows.get(row).map_or(Cell::Absent, |cells| cells[place]);
            let pairs = rows.into_iter().map(|row| (&row.0, of(kept, row), of(now, row)));
            let mut wrong = Vec::new();
            for (program, before, after) in pairs {
                let Some(change) = Change::of(before, after) else { continue };
                let line = format!("{check}: {program} {}", change.words);
                say(&line);
                if change.failure {
                    wrong.push(program.as_str());
                }
            }
            if wrong.is_empty() {
                tally.pass(1);
            } else {
                let advice = "if that is meant, run `cargo xtask verifier --update`";
                tally.fail(format!("{check}: {} ({advice})", wrong.join(", ")));
            }
        }
    }
}

/// What became of a count.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    words: String,
    failure: bool,
}

impl Change {
    fn of(before: Cell, after: Cell) -> Option<Self> {
        let (words, failure) = match (before, after) {
            (before, after) if before == after => return None,
            (before, Cell::Absent) => (format!("was there ({}), and is not", before.word()), true),
            (Cell::Absent, after) => (format!("is new ({})", after.word()), true),
            (Cell::Untold, Cell::Count(_)) | (Cell::Count(_), Cell::Untold) => {
                (format!("had {} instructions, and now {}", before.word(), after.word()), true)
            }
            (Cell::Untold, Cell::Untold) => return None,
            (Cell::Count(before), Cell::Count(after)) if after < before => {
                (format!("fell from {before} to {after} instructions"), false)
            }
            (Cell::Count(before), Cell::Count(after)) => {
                let much = (after - before) * 100 > before * TOLERATED;
                let more = if much { format!(", more than {TOLERATED} %") } else { String::new() };
                let share = after * 100 / LIMIT;
                (format!("grew from {before} to {after} instructions{more}; {share} % of the limit"), much)
            }
        };
        Some(Self { words, failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine prints when each backend attaches one program of so many instructions.
    fn output(counts: [&str; 3]) -> Vec<String> {
        let lines = BACKENDS.iter().zip(counts).flat_map(|(backend, count)| {
            [format!("{MARK}{backend}"), "a line of others".to_owned(), format!("error\t{count}")]
        });
        lines.collect()
    }

    fn counts(kernel: &str, counts: [&str; 3]) -> Counts {
        let mut read = Counts::default();
        read.read(kernel, &output(counts)).expect("every backend is there");
        read
    }

    fn judged(kept: &Counts, now: &Counts) -> (Tally, Vec<String>) {
        let (mut tally, mut said) = (Tally::default(), Vec::new());
        judge(kept, now, &mut tally, |line| said.push(line.to_owned()));
        (tally, said)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut all = counts("6.12", ["19", "28", "30"]);
        all.read("5.10", &output(["?", "?", "?"])).expect("every backend is there");
        let table = all.table();
        assert!(table.contains("\nerror\tfentry\t?\t-\t28\t-\n"), "{table}");
        let again = Counts::parse(&table).expect("the table");
        assert_eq!(again.rows, all.rows);
        assert!(Counts::parse(&table.replace("28", "many")).is_err());
        assert!(Counts::parse(&table.replace("6.12", "6.18")).is_err());
    }

    #[test]
    fn a_backend_that_attached_nothing_is_an_error() {
        let mut read = Counts::default();
        let error = read.read("6.1", &output(["1", "no number", "3"])).expect_err("fentry is missing");
        assert!(error.to_string().contains("fentry"), "{error}");
        assert!(read.read("4.19", &[]).is_err());
    }

    #[test]
    fn only_what_grows_much_appears_or_goes_is_a_failure() {
        let kept = counts("6.12", ["1000", "1000", "1000"]);
        let (tally, said) = judged(&kept, &counts("6.12", ["1000", "1100", "900"]));
        assert_eq!(tally.closing(), "3 passed, 0 failed, 0 skipped");
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].ends_with("fentry: error grew from 1000 to 1100 instructions; 0 % of the limit"));
        let (tally, said) = judged(&kept, &counts("6.12", ["1101", "-", "1000"]));
        assert_eq!(tally.closing(), "1 passed, 2 failed, 0 skipped");
        assert!(said[0].contains("more than 10 %") && said[1].contains("and is not"), "{said:?}");
        assert!(
            tally.failures()[0].contains("error (if that is meant, run `cargo xtask verifier --update`)")
        );
        let (tally, _) = judged(&Counts::default(), &counts("6.12", ["1", "1", "1"]));
        assert_eq!(tally.failed(), 3);
    }

    #[test]
    fn where_the_kernel_does_not_say_it_must_load_all_the_same() {
        let kept = counts("5.10", ["?", "?", "?"]);
        let (tally, said) = judged(&kept, &counts("5.10", ["?", "-", "?"]));
        assert_eq!(tally.closing(), "2 passed, 1 failed, 0 skipped");
        assert!(said[0].ends_with("fentry: error was there (?), and is not"), "{said:?}");
    }

    #[test]
    fn kernels_that_were_not_looked_at_are_not_judged() {
        let kept = counts("6.12", ["1000", "1000", "1000"]);
        let (tally, _) = judged(&kept, &Counts::default());
        assert_eq!(tally.closing(), "0 passed, 0 failed, 0 skipped");
    }
}
