//! The figures as a Markdown table.

use crate::score::{Field, Score, Sheet};
use std::{fmt::Write, time::Duration};

const HEAD: &str = "\
| pattern | incidents | recall | precision | process: right / absent / wrong | errno: right / absent / wrong \
| `also` right | latency, ms: median / p99 |
|---|---:|---:|---:|---:|---:|---:|---:|
";

/// A row for each pattern, and one for all.
pub(crate) fn table(sheet: &Sheet) -> String {
    let rows = sheet.by_id.iter().map(|(id, score)| row(&format!("`{id}`"), score));
    HEAD.to_owned() + &rows.collect::<String>() + &row("**all**", &sheet.total())
}

/// What is counted besides.
pub(crate) fn remarks(sheet: &Sheet) -> String {
    let Sheet { decoys, lost, unstaged, unlabelled, late, elsewhere, .. } = sheet;
    let total = sheet.total();
    let each: Vec<String> = late.iter().map(|(id, count)| format!("{count} `{id}`")).collect();
    let causes: Vec<String> = lost.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    let mut text = format!(
        "Decoys: {decoys}. Told though it had not happened: {}. Records lost: {}.\n\
         Not counted: findings about what the processes left behind when they were let go, which nobody's calls label \
         ({}); {elsewhere} about the rest of the host.\n",
        total.falsely,
        if causes.is_empty() { "0".to_owned() } else { causes.join(", ") },
        if each.is_empty() { "none".to_owned() } else { each.join(", ") },
    );
    if *unstaged > 0 {
        let _ = writeln!(
            text,
            "{unstaged} situations could not be made to happen; {unlabelled} findings about them have no label."
        );
    }
    text
}

fn row(name: &str, score: &Score) -> String {
    let field = |Field { right, absent, wrong }: Field| format!("{right} / {absent} / {wrong}");
    let Score { incidents, .. } = score;
    format!(
        "| {name} | {incidents} | {} | {} | {} | {} | {} | {} |\n",
        percent(score.recall()),
        percent(score.precision()),
        field(score.owner),
        field(score.errno),
        percent(score.also.share()),
        latency(&score.latencies),
    )
}

/// Two digits, and never 100 of what is not all.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", (share * 10_000.0).floor() / 100.0))
}

fn latency(latencies: &[Duration]) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    match (quantile(&sorted, 50), quantile(&sorted, 99)) {
        (Some(median), Some(worst)) => {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            format!("{:.0} / {:.0}", ms(median), ms(worst))
        }
        _ => "–".to_owned(),
    }
}

/// The least that so many of a hundred do not exceed; none of nothing.
fn quantile(sorted: &[Duration], hundredths: usize) -> Option<Duration> {
    let rank = (sorted.len() * hundredths).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_members() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Some(Duration::from_millis(100)));
        assert_eq!(quantile(&times, 99), Some(Duration::from_millis(198)));
        assert_eq!(quantile(&times[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 50), None);
    }

    #[test]
    fn not_all_is_not_a_hundred_percent() {
        assert_eq!(percent(Some(0.99999)), "99.99 %");
        assert_eq!(percent(Some(1.0)), "100.00 %");
    }

    #[test]
    fn rows_have_as_many_cells_as_the_head() {
        let cells = |line: &str| line.matches('|').count();
        let row = row("x", &Score::default());
        assert!(HEAD.lines().all(|line| cells(line) == cells(&row)), "{row}");
    }
}
