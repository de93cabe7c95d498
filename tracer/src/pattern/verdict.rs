//! What a rule may answer.

use super::Pattern;
use crate::{
    errno::Errno,
    finding::{Fact, Severity},
    time::Time,
};

/// What a rule answers.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It does not hold.
    No,
    /// It cannot be told yet: ask again when something happens to either end, or at the end of the hold.
    Wait,
    /// It cannot be told before then.
    WaitUntil(Time),
    /// It holds unless a look says otherwise: ask again when it has.
    Look,
    /// It holds if a look finds the other end alive: ask again when one has been taken.
    LookAtPeer,
    /// It holds.
    Found(Box<Found>),
}

/// Which findings of a pattern and a process are one storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Those of one service.
    Service,
    /// Those with the same number, whatever the service.
    Alike(u64),
}

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// What the program gets; none when it gets none.
    pub errno: Option<Errno>,
    /// One or two sentences.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// What bears on it.
    pub facts: Vec<(&'static str, Fact)>,
    /// How many connections it stands for.
    pub count: u64,
    /// Further ids that hold for this incident.
    pub also: Vec<&'static str>,
    /// With which others it is one storm.
    pub group: Group,
    /// Whether the process to look at is the other end's: the one that acted.
    pub look_at_peer: bool,
}

impl Found {
    /// What a pattern says as a rule; how sure it is, and in which words, only its rule knows.
    pub fn of(pattern: &Pattern, confidence: f64, message: String) -> Self {
        Self {
            severity: pattern.severity,
            confidence,
            errno: None,
            message,
            advice: pattern.text.en.advice.to_owned(),
            facts: Vec::new(),
            count: 1,
            also: Vec::new(),
            group: Group::Service,
            look_at_peer: false,
        }
    }
}
