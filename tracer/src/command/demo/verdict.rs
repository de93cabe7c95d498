//! Compares what was told with what the demo's own processes saw.

use crate::lab::case::{Expected, Staged};
use serde_json::Value;
use std::collections::BTreeSet;

/// One situation and what became of it.
pub(super) struct Line {
    /// The case and its path.
    pub(super) name: String,
    /// Whether it was told as it happened, and nothing else was.
    pub(super) holds: bool,
    /// Whether that was at its second attempt.
    pub(super) second: bool,
    /// Whether it was not told, or not in full; nothing told contradicts it.
    pub(super) missed: bool,
    /// The pattern, or `(nothing)` for a decoy.
    pub(super) pattern: &'static str,
    /// Which variant.
    pub(super) situation: String,
    /// On which path.
    pub(super) path: String,
    /// Which fields of the finding that comes closest are not what happened; none where nothing was told.
    pub(super) differs: Option<Vec<&'static str>>,
    /// What was told.
    pub(super) told: String,
    /// What differs, and the message.
    pub(super) details: Vec<String>,
}

/// The processes that a finding names.
pub fn pids(finding: &Value) -> BTreeSet<u64> {
    let processes = [&finding["process"], &finding["peer"]["process"]];
    processes.iter().filter_map(|process| process["pid"].as_u64()).collect()
}

/// Whether a finding is about a connection with this port, or about none: that belongs to who did it.
pub fn is_at(finding: &Value, port: u16) -> bool {
    let connection = &finding["connection"];
    let is = |end: &str| connection[end]["port"].as_u64() == Some(port.into());
    connection.is_null() || is("local") || is("remote")
}

/// The findings so far, by situation.
pub(super) struct Verdicts<'a> {
    staged: &'a [Staged],
    findings: Vec<Vec<Value>>,
    strays: Vec<Value>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(staged: &'a [Staged]) -> Self {
        Self { staged, findings: vec![Vec::new(); staged.len()], strays: Vec::new() }
    }

    /// Takes a finding: it belongs to the situation whose processes and port it names.
    pub(super) fn take(&mut self, finding: Value) {
        let pids = pids(&finding);
        let belongs = |staged: &Staged| {
            let known = pids.iter().all(|pid| staged.pids.iter().any(|own| u64::from(*own) == *pid));
            is_at(&finding, staged.port) && known
        };
        // A port may be in use at several places; a process is not.
        let place = self.staged.iter().position(|staged| belongs(staged) && !pids.is_empty());
        match place.or_else(|| self.staged.iter().position(belongs)) {
            Some(index) => self.findings[index].push(finding),
            None => self.strays.push(finding),
        }
    }

    /// How many situations are to be told.
    pub(super) fn expected(&self) -> usize {
        self.staged.iter().filter(|staged| staged.expected.is_some()).count()
    }

    /// How many have been.
    pub(super) fn told(&self) -> usize {
        self.staged
            .iter()
            .zip(&self.findings)
            .filter(|(staged, found)| {
                staged.expected.as_ref().is_some_and(|expected| {
                    found.iter().any(|finding| differences(expected, finding).is_empty())
                })
            })
            .count()
    }

    pub(super) fn all_told(&self) -> bool {
        self.told() == self.expected()
    }

    /// A line for every situation, and one for what belongs to none.
    pub(super) fn judge(self) -> Vec<Line> {
        let lines = self.staged.iter().zip(&self.findings).map(|(staged, found)| line(staged, found));
        let strays = self.strays.iter().map(|finding| Line {
            name: String::new(),
            holds: false,
            missed: false,
            second: false,
            pattern: "(nothing)",
            situation: "no situation".to_owned(),
            path: String::new(),
            differs: None,
            told: summary(finding),
            details: vec![finding.to_string()],
        });
        lines.chain(strays).collect()
    }
}

fn line(staged: &Staged, found: &[Value]) -> Line {
    // `connection_reset/server wire/ipv4`
    let (case, path) = staged.name.split_once(' ').unwrap_or((&staged.name, ""));
    let situation = case.split_once('/').map_or(case, |(_, variant)| variant).to_owned();
    let path = path.to_owned();
    let Some(expected) = &staged.expected else {
        let wrong: Vec<&Value> = found.iter().filter(|finding| finding["severity"] != "info").collect();
        return Line {
            name: staged.name.clone(),
            holds: wrong.is_empty(),
            missed: false,
            second: false,
            pattern: "(nothing)",
            situation,
            path,
            differs: None,
            told: wrong.first().map_or_else(|| "nothing was told".to_owned(), |finding| summary(finding)),
            details: found.iter().map(Value::to_string).collect(),
        };
    };
    let right = found.iter().find(|finding| differences(expected, finding).is_empty());
    let others = found.iter().filter(|finding| {
        let allowed = expected.allowed.iter().any(|id| finding["pattern"] == **id);
        // What goes on is told again after a while, with how often it was.
        !differences(expected, finding).is_empty() && !allowed
    });
    let mut details: Vec<String> = others.map(|finding| format!("also told: {}", summary(finding))).collect();
    let holds = right.is_some() && details.is_empty();
    let missed = right.is_none()
        && found.iter().all(|finding| {
            let allowed = expected.allowed.iter().any(|id| finding["pattern"] == **id);
            allowed || contradictions(expected, finding).is_empty()
        });
    if right.is_none() {
        let closest = found
            .iter()
            .map(|finding| format!("{}: {}", summary(finding), differences(expected, finding).join(", ")));
        details.extend(closest);
        details.push(format!("expected {expected:?}"));
        details.extend(found.iter().map(Value::to_string));
    }
    details.extend(right.and_then(|finding| finding["message"].as_str()).map(str::to_owned));
    let fields = |finding: &Value| compare_all(expected, finding, false).into_iter().map(|(what, _)| what);
    let of_pattern = found.iter().filter(|finding| finding["pattern"] == expected.pattern);
    let said =
        |finding: &Value| compare_all(expected, finding, true).into_iter().map(|(what, _)| what).collect();
    let differs = if missed || right.is_some() {
        of_pattern.map(|finding| fields(finding).collect::<Vec<_>>()).min_by_key(Vec::len)
    } else {
        found.iter().map(said).min_by_key(Vec::len)
    };
    let nearest =
        found.iter().filter(|_| !missed).min_by_key(|finding| contradictions(expected, finding).len());
    Line {
        name: staged.name.clone(),
        holds,
        missed,
        second: false,
        pattern: expected.pattern,
        situation,
        path,
        differs,
        told: right.or(nearest).map_or_else(|| "not told".to_owned(), summary),
        details,
    }
}

/// Where a finding is not what happened.
pub fn differences(expected: &Expected, finding: &Value) -> Vec<String> {
    words(compare_all(expected, finding, false))
}

/// Where a finding says what did not happen; what it does not say is no contradiction.
pub fn contradictions(expected: &Expected, finding: &Value) -> Vec<String> {
    words(compare_all(expected, finding, true))
}

fn words(differences: Vec<(&str, String)>) -> Vec<String> {
    differences.into_iter().map(|(what, how)| format!("the {what} {how}")).collect()
}

/// What differs, and how.
fn compare_all(expected: &Expected, finding: &Value, said_only: bool) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let mut compare = |what, told: Option<String>, seen: Option<String>| {
        if told != seen && !(said_only && told.is_none()) {
            let show = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            wrong.push((what, format!("is {}, was {}", show(told), show(seen))));
        }
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let number = |value: &Value| value.as_u64().map(|number| number.to_string());
    compare("pattern", text(&finding["pattern"]), Some(expected.pattern.to_owned()));
    compare("errno", text(&finding["errno"]), expected.errno.clone());
    compare("process", number(&finding["process"]["pid"]), expected.local_pid.map(|pid| pid.to_string()));
    let peer = number(&finding["peer"]["process"]["pid"]);
    let seen = expected.peer(peer.is_some()).map(|pid| pid.to_string());
    compare("other process", peer, seen);
    if !finding["connection"].is_null() {
        compare("namespace", number(&finding["connection"]["netns"]), Some(expected.netns.to_string()));
    }
    wrong
}

/// A finding in a few words: pattern, errno, both processes.
pub fn summary(finding: &Value) -> String {
    let process = |value: &Value| match (value["comm"].as_str(), value["pid"].as_u64()) {
        (Some(comm), Some(pid)) => format!("{comm}[{pid}]"),
        _ => "?".to_owned(),
    };
    let errno = finding["errno"].as_str().map_or(String::new(), |errno| format!(" {errno}"));
    let peer = &finding["peer"]["process"];
    let peer = if peer.is_null() { String::new() } else { format!(" <-> {}", process(peer)) };
    let pattern = finding["pattern"].as_str().unwrap_or("?");
    format!("{pattern}{errno} {}{peer}", process(&finding["process"]))
}
