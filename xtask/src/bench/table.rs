//! The figures as a Markdown table.

use super::series::{self, Spread};
use std::fmt;

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    figure: String,
    unit: &'static str,
    values: Vec<f64>,
    ratios: Vec<f64>,
    goal: String,
}

impl Row {
    /// A figure that was measured as often as there are values.
    pub(crate) fn new(figure: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { figure: figure.into(), unit, values, ratios: Vec::new(), goal: String::new() }
    }

    /// The same figure as a ratio to another, pair by pair.
    pub(crate) fn ratios(mut self, ratios: Vec<f64>) -> Self {
        self.ratios = ratios;
        self
    }

    /// What is aimed at.
    pub(crate) fn goal(mut self, goal: impl Into<String>) -> Self {
        self.goal = goal.into();
        self
    }
}

/// What stands above the columns.
pub(crate) const HEAD: &str = "\
| figure | unit | median | min–max | ratio to no tcptrace (95 %; min–max) | goal |
|---|---|---:|---:|---:|---:|";

impl fmt::Display for Row {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, unit, values, ratios, goal } = self;
        let Some(Spread { median, least, most }) = series::spread(values) else {
            return write!(to, "| {figure} | {unit} | | | | {goal} |");
        };
        let digits = digits(median);
        write!(to, "| {figure} | {unit} | {median:.digits$} | ")?;
        if values.len() > 1 {
            write!(to, "{least:.digits$}–{most:.digits$} ")?;
        }
        write!(to, "| ")?;
        if let (Some(spread), Some((low, high))) = (series::spread(ratios), series::interval(ratios)) {
            let Spread { median, least, most } = spread;
            write!(to, "**{median:.3}** ({low:.3}–{high:.3}; {least:.2}–{most:.2}) ")?;
        }
        write!(to, "| {goal} |")
    }
}

/// Three significant digits, as far as they follow the point.
fn digits(value: f64) -> usize {
    match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_as_many_cells_as_the_head() {
        let row = Row::new("CPU", "µs", vec![55.0, 57.0]).ratios(vec![1.05, 1.06]).goal("≤ 1.06");
        assert_eq!(
            row.to_string(),
            "| CPU | µs | 56.0 | 55.0–57.0 | **1.055** (1.050–1.060; 1.05–1.06) | ≤ 1.06 |"
        );
        let cells = |line: &str| line.matches('|').count();
        for line in [row.to_string(), Row::new("CPU", "µs", Vec::new()).to_string()] {
            assert_eq!(Some(cells(&line)), HEAD.lines().next().map(cells), "{line}");
        }
    }
}
