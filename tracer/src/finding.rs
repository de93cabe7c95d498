//! A finding: what went wrong with a connection, in the engine's own terms (its JSON form is `record`).

use crate::{
    death::Death,
    errno::Errno,
    event::{Cookie, Owner},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};
use tracer_common::{State, record::socket::Tuple};

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Somebody lost data or got an error.
    Warning,
    /// A service is failing.
    Critical,
}

impl Severity {
    /// All, mildest first.
    pub const ALL: &[Self] = &[Self::Info, Self::Warning, Self::Critical];

    /// Its name in records and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|severity| severity.name() == text).ok_or(())
    }
}

/// Number of a finding within one run; shown as `f-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(pub u64);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f-{}", self.0)
    }
}

/// Which end called connect().
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This end did.
    Outgoing,
    /// The other end did.
    Incoming,
}

/// One end of the connection a finding is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    /// The connection as this end sees it.
    pub tuple: Tuple,
    /// Its socket, when it was seen.
    pub cookie: Option<Cookie>,
    /// Its state when the trouble began.
    pub state: Option<State>,
    /// Who called connect(), when known.
    pub direction: Option<Direction>,
    /// Age of the connection at the finding, when its birth was seen.
    pub age: Option<Duration>,
    /// Whether it is older than the tracer.
    pub preexisting: bool,
    /// User id the socket belongs to, when it was read.
    pub uid: Option<u32>,
    /// The process that owns it; never a bystander.
    pub owner: Option<Owner>,
    /// Whether its socket was made in a cgroup that is asked for; false where none is.
    pub in_cgroup: bool,
    /// Whether that is a process below this one: the command it started.
    pub followed: bool,
}

impl Party {
    /// Whether there is a connection, or a socket that has an address at least at one end.
    pub fn connected(&self) -> bool {
        self.tuple.local_port != 0 || self.tuple.remote_port != 0
    }
}

/// How an errno is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErrnoSource {
    /// A call of the program returned it.
    Observed,
    /// The socket holds it for the program's next call.
    Derived,
}

/// The RST of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Whether the finding's own end sent it.
    pub sent: bool,
    /// The kernel's reason without its prefix, `TCP_TIMEWAIT_SOCKET`.
    pub reason: Option<String>,
    /// Whether the kernel gave the reason, or it was inferred from the socket's fields.
    pub inferred: bool,
}

/// A value that bears on a finding. Units are in the fact's name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// A number of things, bytes or nanoseconds.
    Count(u64),
    /// A name or a sentence.
    Text(String),
    /// Whether it is so.
    Flag(bool),
}

/// The fact of a finding that stands for incidents at several services: it names the last of them.
pub const VARIOUS_SERVICES: &str = "various_services";

/// One step of the story.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// At the end the finding is about, or at the other.
    pub local: bool,
    /// What happened.
    pub what: Happening,
    /// The process that did it, when one did.
    pub by: Option<Owner>,
}

/// What can happen in a story.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as what they hold")]
pub enum Happening {
    /// A change of state; `death` when the process that made it was dying.
    State { from: State, to: State, death: Option<Death> },
    /// A receive call returned 0.
    EofRead,
    /// A RST went out.
    ResetSent { reason: Option<String> },
    /// A RST was taken as valid.
    ResetReceived,
    /// A call failed.
    CallFailed { call: &'static str, errno: Errno },
}

/// What went wrong, where, and how sure that is.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its number.
    pub id: FindingId,
    /// Earlier findings of the same connection.
    pub follows: Vec<FindingId>,
    /// The pattern's id.
    pub pattern: &'static str,
    /// Other patterns that hold for the same incident.
    pub also: Vec<&'static str>,
    /// When it happened.
    pub at: Time,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// The pattern's title.
    pub title: &'static str,
    /// One or two sentences with this connection's names and numbers.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// A command that confirms it for this very connection; none when what it needs is not known.
    pub confirm: Option<String>,
    /// What the program got or will get; none when it gets none.
    pub errno: Option<(Errno, ErrnoSource)>,
    /// The signal the program got with it.
    pub signal: Option<&'static str>,
    /// The end the finding is about.
    pub local: Party,
    /// The other end, when it is on this host too.
    pub peer: Option<Party>,
    /// The RST, when there was one.
    pub reset: Option<Reset>,
    /// What bears on it, in the order of importance.
    pub facts: Vec<(&'static str, Fact)>,
    /// The story, oldest step first.
    pub timeline: Vec<Step>,
    /// How many incidents this stands for.
    pub count: u64,
    /// When the first of them happened.
    pub first: Time,
    /// What was not seen and might have mattered.
    pub missing: Vec<&'static str>,
}

impl Finding {
    /// Whether everything that bears on it was seen.
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }
}
