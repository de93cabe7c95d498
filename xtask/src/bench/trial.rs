//! Rounds of one load, until enough of them were quiet, and what comes out of them.

use super::{
    load::Load,
    round::{Alternative, Round, Sample, sample},
    table::Row,
};
use anyhow::Result;
use std::path::Path;

/// A round is quiet when no more than this share of the CPUs went elsewhere in any of its samples.
pub(crate) const QUIET: f64 = 0.05;
/// For want of quiet, at most this many times the rounds that were asked for are run.
const PATIENCE: usize = 3;

/// A number of a sample.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) of: fn(&Sample) -> f64,
    /// What is aimed at, for each alternative but the first, as far as anything is.
    pub(crate) goals: &'static [&'static str],
}

/// What is measured.
pub(crate) struct Trial<'a> {
    /// The name of the load.
    pub(crate) name: &'a str,
    pub(crate) load: &'a dyn Load,
    /// The first is what the others are compared with.
    pub(crate) alternatives: &'a [Alternative<'a>],
    /// The first is shown as it is measured.
    pub(crate) figures: &'a [Figure],
}

/// The lines of a table and what is to be said below it.
#[derive(Default)]
pub(crate) struct Report {
    /// A table that was made elsewhere.
    pub(crate) text: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) remarks: Vec<String>,
}

impl Trial<'_> {
    /// Runs this load once to warm up and then in at least so many rounds; adds the comparison of the quietest to
    /// the report and returns them.
    pub(crate) fn run(&self, pairs: usize, program: &Path, report: &mut Report) -> Result<Vec<Round>> {
        self.run_with(pairs, report, &|index| sample(program, self.alternatives[index].flags, self.load))
    }

    /// The same, where `take` runs the load beside the alternative of this index, whatever that is.
    pub(crate) fn run_with(
        &self,
        pairs: usize,
        report: &mut Report,
        take: &dyn Fn(usize) -> Result<Sample>,
    ) -> Result<Vec<Round>> {
        eprintln!("\nbench: {}: once to warm up", self.name);
        self.load.run()?;
        let mut rounds: Vec<Round> = Vec::new();
        let quiet = |rounds: &[Round]| rounds.iter().filter(|round| round.noise() <= QUIET).count();
        while quiet(&rounds) < pairs && rounds.len() < PATIENCE * pairs {
            let round = Round::run(rounds.len(), self.alternatives.len(), take)?;
            eprintln!("{} {}/{pairs}: {}", self.name, rounds.len() + 1, self.progress(&round));
            rounds.push(round);
        }
        let (run, quiet) = (rounds.len(), quiet(&rounds));
        rounds.sort_by(|a, b| a.noise().total_cmp(&b.noise()));
        rounds.truncate(pairs);
        report.remarks.push(format!(
            "{}: the {} quietest of {run} rounds; in {quiet} of all, other processes used at most {:.0} % of the CPUs, \
             in the noisiest that counts {:.1} %.",
            self.name,
            rounds.len(),
            QUIET * 100.0,
            rounds.iter().map(Round::noise).fold(0.0, f64::max) * 100.0,
        ));
        report.rows.extend(self.compared(&rounds));
        Ok(rounds)
    }

    fn progress(&self, round: &Round) -> String {
        let Some(Figure { unit, of, .. }) = self.figures.first() else { return String::new() };
        let each = self.alternatives.iter().zip(&round.0).enumerate();
        let values = each.map(|(index, (alternative, sample))| {
            let change = match index {
                0 => String::new(),
                _ => format!(" ({:+.1} %)", (round.ratio(index, of) - 1.0) * 100.0),
            };
            format!("{:.1} {unit}{change} with {}", of(sample), alternative.name)
        });
        let values: Vec<String> = values.collect();
        format!("{}; {:.0} % of the CPUs elsewhere", values.join(", "), round.noise() * 100.0)
    }

    /// Each figure for each alternative.
    fn compared(&self, rounds: &[Round]) -> Vec<Row> {
        let row = |figure: &Figure, index: usize| {
            let values = rounds.iter().map(|round| (figure.of)(&round.0[index])).collect();
            let title = format!("{}: {}: {}", self.name, figure.name, self.alternatives[index].name);
            let row = Row::new(title, figure.unit, values);
            let Some(goal) = index.checked_sub(1) else { return row };
            row.ratios(rounds.iter().map(|round| round.ratio(index, figure.of)).collect())
                .goal(figure.goals.get(goal).copied().unwrap_or_default())
        };
        let each = |figure| (0..self.alternatives.len()).map(move |index| row(figure, index));
        self.figures.iter().flat_map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::Outcome;
    use std::{cell::Cell, time::Duration};

    /// Does nothing, and counts how often.
    #[derive(Default)]
    struct Nothing(Cell<usize>);

    impl Load for Nothing {
        fn run(&self) -> Result<Outcome> {
            self.0.set(self.0.get() + 1);
            Ok(Outcome { units: 4.0, took: Duration::from_secs(2), cpu: Duration::ZERO })
        }
    }

    #[test]
    fn a_figure_has_a_row_for_each_alternative() -> Result<()> {
        let load = Nothing::default();
        let trial = Trial {
            name: "nothing",
            load: &load,
            alternatives: &[
                Alternative { name: "alone", flags: None },
                Alternative { name: "alone again", flags: None },
            ],
            figures: &[Figure { name: "rate", unit: "1/s", of: |sample| sample.rate, goals: &["as many"] }],
        };
        let mut report = Report::default();
        assert_eq!(trial.run(1, Path::new("tcptrace"), &mut report)?.len(), 1);
        // Once to warm up; a busy machine makes it go on.
        assert!([3, 5, 7].contains(&load.0.get()), "{}", load.0.get());
        let rows: Vec<String> = report.rows.iter().map(ToString::to_string).collect();
        assert_eq!(
            rows,
            [
                "| nothing: rate: alone | 1/s | 2.00 | | |  |",
                "| nothing: rate: alone again | 1/s | 2.00 | | **1.000** (1.000–1.000; 1.00–1.00) | as many |"
            ]
        );
        assert_eq!(report.remarks.len(), 1);
        Ok(())
    }
}
