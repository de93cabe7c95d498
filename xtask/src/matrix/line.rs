//! What the demo tells of one situation: a line of fields between tabs.

use anyhow::{Context as _, Result, bail};

/// A situation, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) fate: Fate,
    /// Whether that is of its second attempt.
    pub(super) again: bool,
    /// The pattern that it is, or `(nothing)`.
    pub(super) pattern: String,
    /// Which variant of it.
    pub(super) situation: String,
    /// On which path it happened.
    pub(super) path: String,
    /// What was told, in a few words.
    pub(super) told: String,
    /// What else there is to say.
    pub(super) details: String,
}

/// What became of a situation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was told as it happened.
    Told,
    /// It was told, but for these fields, of which nothing was said.
    Lacking(Vec<String>),
    /// It was not told.
    Missed,
    /// Something was told that is not what happened in these respects.
    Wrong(Vec<String>),
}

impl Line {
    /// Reads a line; none where it is no line of the kind, such as the sum at the end.
    pub(super) fn read(line: &str) -> Result<Option<Self>> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [fate, pattern, situation, path, differs, told, details] = fields.as_slice() else {
            return Ok(None);
        };
        let differs = || differs.split(", ").map(str::to_owned).collect();
        let again = *fate == "again";
        let fate = match *fate {
            "told" | "again" => Fate::Told,
            "missed" if *fields.get(4).context("a field is missing")? == "nothing" => Fate::Missed,
            "missed" => Fate::Lacking(differs()),
            "wrong" => Fate::Wrong(differs()),
            other => bail!("the demo says {other:?} of {pattern}"),
        };
        let [pattern, situation, path, told, details] =
            [pattern, situation, path, told, details].map(|field| (*field).to_owned());
        Ok(Some(Self { fate, again, pattern, situation, path, told, details }))
    }
}

/// How many situations a demo has judged, where this is the sum it ends with.
pub(super) fn sum(line: &str) -> Option<usize> {
    let (count, _) = line.split_once(" situations")?;
    // `111 situations, each …`, or `2 of 111 situations were not …`.
    count.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() -> Result<()> {
        let read = |line: &str| Line::read(line).map(|line| line.map(|line| line.fate));
        assert_eq!(read("told\ta\tb\twire/ipv4\tnothing\ta here[1]\t")?, Some(Fate::Told));
        assert_eq!(read("missed\ta\tb\twire/ipv4\tnothing\tnot told\tx")?, Some(Fate::Missed));
        let lacking = Fate::Lacking(vec!["errno".to_owned(), "other process".to_owned()]);
        assert_eq!(read("missed\ta\tb\twire/ipv4\terrno, other process\tnot told\tx")?, Some(lacking));
        let wrong = Fate::Wrong(vec!["pattern".to_owned()]);
        assert_eq!(read("wrong\ta\tb\twire/ipv4\tpattern\tc\tx")?, Some(wrong));
        assert_eq!(read("109 situations, each as it happened (57 s)")?, None);
        assert!(read("perhaps\ta\tb\tc\td\te\tf").is_err());
        Ok(())
    }

    #[test]
    fn a_demo_that_ends_says_how_many_it_has_judged() {
        assert_eq!(sum("109 situations, each as it happened; nothing else appeared (57 s)"), Some(109));
        assert_eq!(sum("2 of 109 situations were not told as they happened (57 s)"), Some(109));
        assert_eq!(sum("tcptrace: making the situations happen: a/b wire/ipv4: timed out"), None);
        assert_eq!(sum("told\ta\tb\twire/ipv4\tnothing\ta here[1]\t"), None);
    }
}
