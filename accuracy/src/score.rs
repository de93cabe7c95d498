//! The arithmetic: how much of what happened was told, and how much of what was told had happened.

use crate::book::{Book, Heard};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tracer::{
    command::demo::verdict::{contradictions, differences, summary},
    lab::case::Expected,
};

/// How a field of the findings compares with what the processes saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) right: usize,
    /// It was there and was not told.
    pub(crate) absent: usize,
    pub(crate) wrong: usize,
}

/// One comparison, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Right,
    Absent,
    Wrong,
}

impl Field {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Right => self.right += 1,
            Answer::Absent => self.absent += 1,
            Answer::Wrong => self.wrong += 1,
        }
    }

    fn sum(&mut self, other: Self) {
        self.right += other.right;
        self.absent += other.absent;
        self.wrong += other.wrong;
    }

    pub(crate) fn share(self) -> Option<f64> {
        share(self.right, self.right + self.absent + self.wrong)
    }
}

/// The figures of one pattern, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// How often it happened.
    pub(crate) incidents: usize,
    /// In how many of these it was told.
    pub(crate) told: usize,
    /// How often it was told though it had not happened.
    pub(crate) falsely: usize,
    pub(crate) owner: Field,
    pub(crate) errno: Field,
    pub(crate) also: Field,
    /// From the end of the situation to the arrival of the line.
    pub(crate) latencies: Vec<Duration>,
}

impl Score {
    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.told, self.incidents)
    }

    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.told, self.told + self.falsely)
    }

    fn sum(&mut self, other: &Self) {
        self.incidents += other.incidents;
        self.told += other.told;
        self.falsely += other.falsely;
        self.owner.sum(other.owner);
        self.errno.sum(other.errno);
        self.also.sum(other.also);
        self.latencies.extend(&other.latencies);
    }
}

/// The figures of all patterns over all runs.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) by_id: BTreeMap<String, Score>,
    pub(crate) decoys: usize,
    /// Records, by cause.
    pub(crate) lost: BTreeMap<String, u64>,
    /// Situations that could not be made to happen.
    pub(crate) unstaged: usize,
    /// Findings about those, for which there is no label.
    pub(crate) unlabelled: usize,
    /// Findings about what the processes left behind when they were let go, by pattern.
    pub(crate) late: BTreeMap<String, usize>,
    /// Findings about the rest of the host.
    pub(crate) elsewhere: usize,
}

impl Sheet {
    /// Adds a run; what was wrong with it, a line each, and the findings it is about.
    pub(crate) fn add(&mut self, book: &Book, lost: BTreeMap<String, u64>) -> Vec<(String, Vec<Value>)> {
        let mut problems = Vec::new();
        for (cause, count) in lost {
            *self.lost.entry(cause).or_default() += count;
        }
        self.unstaged += book.unstaged.len();
        self.elsewhere += book.elsewhere;
        problems.extend(book.unstaged.iter().map(|what| (format!("not staged: {what}"), Vec::new())));
        for (number, incident) in book.incidents.iter().enumerate() {
            let about: Vec<&Heard> = book.about(number).collect();
            let findings = || about.iter().map(|heard| heard.finding.clone()).collect();
            let mut problem =
                |what: String| problems.push((format!("{}: {what}", incident.name), findings()));
            let Some(expected) = &incident.expected else {
                self.decoys += 1;
                for heard in about.iter().filter(|heard| heard.finding["severity"] != "info") {
                    self.falsely(&heard.finding);
                    problem(format!("told though nothing happened: {}", summary(&heard.finding)));
                }
                continue;
            };
            let named = about.iter().filter(|heard| heard.finding["pattern"] == expected.pattern);
            let right = named.min_by_key(|heard| differences(expected, &heard.finding).len());
            let score = self.by_id.entry(expected.pattern.to_owned()).or_default();
            score.incidents += 1;
            if let Some(heard) = right {
                score.told += 1;
                score.latencies.push(heard.at.saturating_duration_since(incident.done));
                score.owner.add(owner(expected, &heard.finding));
                score.errno.add(errno(expected, &heard.finding));
                score.also.add(also(expected, &heard.finding));
                let mut wrong = differences(expected, &heard.finding);
                if also(expected, &heard.finding) != Answer::Right {
                    wrong.push(format!("also {}", heard.finding["also"]));
                }
                if !wrong.is_empty() {
                    problem(wrong.join(", "));
                }
            } else {
                problem("missed".to_owned());
            }
            let info = right.is_some_and(|heard| heard.finding["severity"] == "info");
            for heard in &about {
                let finding = &heard.finding;
                let allowed = expected.allowed.iter().any(|id| finding["pattern"] == **id);
                // What goes on is told again after a while; what is told of the other end as well is one too many.
                let same = right.is_some_and(|right| {
                    std::ptr::eq(*right, *heard)
                        || finding["pattern"] == expected.pattern
                            && contradictions(expected, finding).is_empty()
                });
                if !same && !allowed && (info || finding["severity"] != "info") {
                    self.falsely(finding);
                    problem(format!("also told: {}", summary(finding)));
                }
            }
        }
        for heard in &book.heard {
            if book.is_late(heard) {
                *self.late.entry(id(&heard.finding)).or_default() += 1;
            } else if heard.incident.is_none() && heard.finding["severity"] != "info" {
                if book.is_unlabelled(&heard.finding) {
                    self.unlabelled += 1;
                } else {
                    self.falsely(&heard.finding);
                    let what = format!("told of nothing that happened: {}", summary(&heard.finding));
                    problems.push((what, vec![heard.finding.clone()]));
                }
            }
        }
        problems
    }

    /// All patterns together.
    pub(crate) fn total(&self) -> Score {
        let mut total = Score::default();
        for score in self.by_id.values() {
            total.sum(score);
        }
        total
    }

    /// The goals that are missed, named.
    pub(crate) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let mut goal = |what: &str, share: Option<f64>, least: f64| {
            if let Some(share) = share.filter(|share| *share < least) {
                missed.push(format!("{what} is {:.2} %, not {:.0} %", share * 100.0, least * 100.0));
            }
        };
        let total = self.total();
        goal("recall", total.recall(), OVERALL);
        goal("precision", total.precision(), OVERALL);
        goal("the right process", total.owner.share(), OVERALL);
        goal("the right errno", total.errno.share(), OVERALL);
        for (id, score) in &self.by_id {
            goal(&format!("recall of {id}"), score.recall(), EACH);
            goal(&format!("precision of {id}"), score.precision(), EACH);
        }
        missed.extend(self.lost.iter().map(|(cause, count)| format!("{count} records were lost ({cause})")));
        missed
    }

    fn falsely(&mut self, finding: &Value) {
        self.by_id.entry(id(finding)).or_default().falsely += 1;
    }
}

/// Of all that happened, was told, or was told of it.
pub(crate) const OVERALL: f64 = 0.99;
/// Of each pattern.
pub(crate) const EACH: f64 = 0.95;

fn id(finding: &Value) -> String {
    finding["pattern"].as_str().unwrap_or("?").to_owned()
}

/// None of nothing.
fn share(part: usize, whole: usize) -> Option<f64> {
    let exact = |number: usize| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
    (whole > 0).then(|| exact(part) / exact(whole))
}

fn compare<T: PartialEq>(told: Option<T>, seen: Option<T>) -> Answer {
    match (told, seen) {
        (told, seen) if told == seen => Answer::Right,
        (None, Some(_)) => Answer::Absent,
        _ => Answer::Wrong,
    }
}

/// Both processes; the worse counts.
fn owner(expected: &Expected, finding: &Value) -> Answer {
    let pid = |party: &Value| party["process"]["pid"].as_u64();
    let local = compare(pid(finding), expected.local_pid.map(u64::from));
    let peer = pid(&finding["peer"]);
    local.max(compare(peer, expected.peer(peer.is_some()).map(u64::from)))
}

fn errno(expected: &Expected, finding: &Value) -> Answer {
    compare(finding["errno"].as_str(), expected.errno.as_deref())
}

/// Nothing but what may hold as well.
fn also(expected: &Expected, finding: &Value) -> Answer {
    let told = finding["also"].as_array().into_iter().flatten();
    let right = told.into_iter().all(|id| expected.allowed.iter().any(|allowed| id == allowed));
    if right { Answer::Right } else { Answer::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{
        Book,
        tests::{finding, incident, told},
    };
    use serde_json::json;

    /// Four incidents at ports 80 to 83, and what `tell` makes of the finding of each.
    fn sheet(tell: impl Fn(u16, Value) -> Vec<Value>) -> Sheet {
        let mut book = Book::default();
        for (pid, port) in (6..10).zip(80..84) {
            book.happened(incident(pid, port));
            for record in tell(port, finding("connection_refused", Some(pid), port)) {
                book.told(told(record));
            }
        }
        book.close();
        let mut sheet = Sheet::default();
        sheet.add(&book, BTreeMap::new());
        sheet
    }

    /// Recall, precision, right process, right errno, right `also` of all.
    fn figures(sheet: &Sheet) -> [f64; 5] {
        let total = sheet.total();
        let shares =
            [total.recall(), total.precision(), total.owner.share(), total.errno.share(), total.also.share()];
        shares.map(|share| share.expect("there were incidents"))
    }

    fn assert_figures(sheet: &Sheet, figures_should_be: [f64; 5]) {
        let figures = figures(sheet);
        let close = figures.iter().zip(figures_should_be).all(|(is, should)| (is - should).abs() < 1e-9);
        assert!(close, "{figures:?}");
    }

    #[test]
    fn what_is_right_is_right() {
        let sheet = sheet(|_, finding| vec![finding]);
        assert_figures(&sheet, [1.0; 5]);
        assert!(sheet.missed().is_empty());
        assert_eq!(sheet.total().latencies.len(), 4);
    }

    #[test]
    fn what_is_missed_lowers_recall() {
        let sheet = sheet(|port, finding| if port == 80 { vec![] } else { vec![finding] });
        assert_figures(&sheet, [0.75, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(sheet.missed().len(), 2, "overall and of the id: {:?}", sheet.missed());
    }

    #[test]
    fn what_is_told_besides_lowers_the_precision_of_its_own_id() {
        let sheet = sheet(|port, right| match port {
            80 => vec![right, finding("premature_eof", Some(6), 80)],
            _ => vec![right],
        });
        assert_figures(&sheet, [1.0, 0.8, 1.0, 1.0, 1.0]);
        assert_eq!(sheet.by_id["premature_eof"].falsely, 1);
        assert_eq!(sheet.by_id["connection_refused"].precision(), Some(1.0));
    }

    #[test]
    fn what_happened_nowhere_lowers_precision() {
        let sheet = sheet(|port, right| match port {
            80 => vec![right, finding("connection_refused", Some(6), 7)],
            _ => vec![right],
        });
        assert_figures(&sheet, [1.0, 0.8, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_wrong_or_missing_process_lowers_that_figure_alone() {
        for (pid, field) in [
            (Some(1), Field { right: 3, absent: 0, wrong: 1 }),
            (None, Field { right: 3, absent: 1, wrong: 0 }),
        ] {
            let sheet = sheet(|port, right| match port {
                80 => vec![finding("connection_refused", pid, 80)],
                _ => vec![right],
            });
            assert_figures(&sheet, [1.0, 1.0, 0.75, 1.0, 1.0]);
            assert_eq!(sheet.total().owner, field);
        }
    }

    #[test]
    fn a_silent_end_may_be_left_out_and_not_mistaken() {
        for (silent, peer, answer) in [
            (true, None, Answer::Right),
            (true, Some(7), Answer::Right),
            (true, Some(8), Answer::Wrong),
            (false, None, Answer::Absent),
        ] {
            let mut expected = incident(6, 80).expected.expect("an incident");
            (expected.peer_pid, expected.peer_is_silent) = (Some(7), silent);
            let mut finding = finding("connection_refused", Some(6), 80);
            finding["peer"]["process"]["pid"] = json!(peer);
            assert_eq!(owner(&expected, &finding), answer, "{silent} {peer:?}");
        }
    }

    #[test]
    fn a_wrong_errno_lowers_that_figure_alone() {
        let sheet = sheet(|port, mut right| {
            if port == 80 {
                right["errno"] = json!("ECONNRESET");
            }
            vec![right]
        });
        assert_figures(&sheet, [1.0, 1.0, 1.0, 0.75, 1.0]);
    }

    #[test]
    fn what_may_hold_as_well_is_right_and_what_may_not_is_wrong() {
        let with = |also: &'static str| {
            sheet(move |_, mut right| {
                right["also"] = json!([also]);
                vec![right]
            })
        };
        assert_figures(&with("broken_pipe"), [1.0; 5]);
        assert_figures(&with("premature_eof"), [1.0, 1.0, 1.0, 1.0, 0.0]);
        let besides =
            sheet(|port, right| vec![right, finding("broken_pipe", Some(u32::from(port) - 74), port)]);
        assert_figures(&besides, [1.0; 5]);
    }

    #[test]
    fn a_decoy_must_be_silent() {
        let mut book = Book::default();
        let mut decoy = incident(6, 80);
        decoy.expected = None;
        book.happened(decoy);
        let mut remark = finding("connection_refused", Some(6), 80);
        remark["severity"] = json!("info");
        book.told(told(remark));
        let mut sheet = Sheet::default();
        assert!(sheet.add(&book, BTreeMap::new()).is_empty());
        book.told(told(finding("connection_refused", Some(6), 80)));
        assert_eq!(sheet.add(&book, BTreeMap::from([("ring_full".to_owned(), 3)])).len(), 1);
        assert_eq!(sheet.total().precision(), Some(0.0));
        assert!(sheet.missed().iter().any(|missed| missed.contains("3 records were lost (ring_full)")));
    }
}
