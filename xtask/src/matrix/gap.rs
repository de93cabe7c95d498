//! What a kernel cannot show, and how far what is told goes without it.

use super::{
    gaps::GAPS,
    line::{Fate, Line},
};

/// Something that is not told in full, or not at all, on some kernels by some means.
#[derive(Debug)]
pub(super) struct Gap {
    /// On which kernels.
    pub(super) kernels: &'static [&'static str],
    /// By which means.
    pub(super) backends: &'static [&'static str],
    /// Of which situations: pattern and variant, or `*` for every variant.
    pub(super) situations: &'static [(&'static str, &'static str)],
    /// On which kinds of path, or on any.
    pub(super) paths: &'static [&'static str],
    pub(super) loss: Loss,
    /// What causes it, with the kernel's function.
    pub(super) because: &'static str,
    /// Where that can be read.
    pub(super) source: &'static str,
}

/// How much is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// These fields of the record, unless a look has come by in time.
    FieldsAtTimes(&'static [&'static str]),
    /// Which pattern it is: this more general one is told instead.
    Pattern(&'static str),
    /// All of it.
    All,
}

/// What a run has shown of a situation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was told.
    Full,
    /// It was not, as the table says.
    AsDeclared,
    /// It was not, and the table does not say so, or says otherwise; a sentence.
    Failed(String),
}

impl Gap {
    fn is_of(&self, kernel: &str, backend: &str) -> bool {
        self.kernels.contains(&kernel) && self.backends.contains(&backend)
    }

    fn covers(&self, line: &Line) -> bool {
        let named = |&(pattern, variant): &(&str, &str)| {
            pattern == line.pattern && (variant == "*" || variant == line.situation)
        };
        let on_path = self.paths.is_empty() || self.paths.iter().any(|path| line.path.contains(path));
        self.situations.iter().any(named) && on_path
    }
}

/// The gaps of a kernel by some means.
pub(super) fn gaps(kernel: &str, backend: &str) -> impl Iterator<Item = &'static Gap> {
    GAPS.iter().filter(move |gap| gap.is_of(kernel, backend))
}

/// Holds what became of a situation against the table, both ways.
pub(super) fn judge(line: &Line, kernel: &str, backend: &str) -> Verdict {
    let declared = gaps(kernel, backend).find(|gap| gap.covers(line)).map(|gap| gap.loss);
    compare(line, declared)
}

fn compare(line: &Line, declared: Option<Loss>) -> Verdict {
    let is_declared = match (&line.fate, declared) {
        (Fate::Missed, Some(Loss::All)) | (Fate::Told, Some(Loss::FieldsAtTimes(_))) => true,
        (Fate::Lacking(lacking), Some(Loss::FieldsAtTimes(fields))) => {
            lacking.len() == fields.len() && lacking.iter().all(|field| fields.contains(&field.as_str()))
        }
        (Fate::Wrong(respects), Some(Loss::Pattern(general))) => {
            respects == &["pattern"] && line.told.split(' ').next() == Some(general)
        }
        _ => false,
    };
    match (&line.fate, declared) {
        (Fate::Told, None) => Verdict::Full,
        _ if is_declared => Verdict::AsDeclared,
        (Fate::Told, Some(_)) => Verdict::Failed("is told, and the table says it cannot be".to_owned()),
        (Fate::Missed, _) => Verdict::Failed("was not told".to_owned()),
        (Fate::Lacking(fields), _) => Verdict::Failed(format!("was told without {}", fields.join(", "))),
        (Fate::Wrong(_), _) => Verdict::Failed(format!("{} was told", line.told)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{install::kernel::KERNELS, matrix::BACKENDS};

    fn line(fate: Fate) -> Line {
        let [pattern, situation, path, told] = ["a", "b", "wire/ipv4", "general x[1]"].map(str::to_owned);
        Line { fate, again: false, pattern, situation, path, told, details: String::new() }
    }

    #[test]
    fn the_table_is_held_both_ways() {
        let lacking = Fate::Lacking(vec!["errno".to_owned()]);
        let wrong = |respect: &str| Fate::Wrong(vec![respect.to_owned()]);
        let failed =
            |fate: &Fate, declared| matches!(compare(&line(fate.clone()), declared), Verdict::Failed(_));
        for (fate, declared, expected) in [
            (Fate::Told, None, Verdict::Full),
            (Fate::Missed, Some(Loss::All), Verdict::AsDeclared),
            (lacking.clone(), Some(Loss::FieldsAtTimes(&["errno"])), Verdict::AsDeclared),
            (Fate::Told, Some(Loss::FieldsAtTimes(&["errno"])), Verdict::AsDeclared),
            (wrong("pattern"), Some(Loss::Pattern("general")), Verdict::AsDeclared),
        ] {
            assert_eq!(compare(&line(fate), declared), expected);
        }
        for (fate, declared) in [
            (&Fate::Told, Some(Loss::All)),
            (&Fate::Missed, None),
            (&Fate::Missed, Some(Loss::FieldsAtTimes(&["errno"]))),
            (&lacking, Some(Loss::FieldsAtTimes(&["process"]))),
            (&lacking, Some(Loss::All)),
            (&lacking, Some(Loss::FieldsAtTimes(&["errno", "process"]))),
            (&wrong("pattern"), Some(Loss::All)),
            (&wrong("pattern"), Some(Loss::Pattern("other"))),
            (&wrong("process"), Some(Loss::Pattern("general"))),
            (&Fate::Told, Some(Loss::Pattern("general"))),
        ] {
            assert!(failed(fate, declared), "{fate:?} where {declared:?} is declared");
        }
    }

    #[test]
    fn the_table_names_what_there_is_and_says_why() {
        for gap in GAPS {
            assert!(
                gap.kernels.iter().all(|name| KERNELS.iter().any(|kernel| kernel.name == *name)),
                "{gap:?}"
            );
            assert!(gap.backends.iter().all(|backend| BACKENDS.contains(backend)), "{gap:?}");
            assert!(!gap.situations.is_empty() && gap.because.contains("()"), "{gap:?}");
            assert!(gap.source.starts_with("https://github.com/torvalds/linux/blob/v"), "{gap:?}");
        }
    }
}
