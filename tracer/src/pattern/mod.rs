//! The catalogue: one file, one static, one id a pattern.

mod cause;
mod end;
pub mod errnos;
pub mod host;
pub mod text;
mod timeout;
pub mod verdict;
pub mod view;
mod words;

pub use end::{End, Parked, REFUSED_WITHIN, Seen};
pub use errnos::{ERRNO_PAGES, ErrnoPage, errno_page};
pub use host::Host;
pub use text::{Lang, Text, Words};
pub use verdict::{Found, Group, Verdict};
pub use view::{Listener, Loose, Occasion, Piped, SentReset, View};

use crate::finding::Severity;
use std::{fmt, time::Duration};
use tracer_common::State;

/// The one list of the patterns, in the order in which the documentation shows them: hands it to a macro, here
/// and wherever each pattern has a part of its own.
#[macro_export]
macro_rules! patterns {
    ($with:ident) => {
        $with! {
            accept_queue_reset,
            accept_queue_fin,
            accept_queue_overflow,
            syn_queue_overflow,
            accept_fd_exhausted,
            synack_lost,
            embryonic_reset,
            fin_wait2_write_reset,
            close_with_unread_data,
            linger_zero_abort,
            linger2_abort,
            shutdown_self_reset,
            listener_closed_with_queue,
            process_died,
            premature_eof,
            broken_pipe,
            sigpipe_killed,
            socket_destroyed,
            connection_reset,
            peer_lost_state,
            stale_connection_killed,
            forged_reset,
            time_wait_collision,
            reset_rejected,
            connection_refused,
            connect_timeout,
            connect_abandoned,
            connect_retry_aborted,
            port_exhausted,
            icmp_unreachable,
            local_unreachable,
            soft_error,
            retransmission_timeout,
            user_timeout,
            keepalive_timeout,
            zero_window_stall,
            half_open_suspect,
            retransmission_storm,
            pmtu_blackhole,
            close_wait_leak,
            peer_stuck_in_close_wait,
            stuck_closing,
            simultaneous_close,
            linger_close_timeout,
            socket_option_error,
            memory_pressure_reset,
        }
    };
}

macro_rules! catalogue {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// Every pattern.
        pub static CATALOGUE: &[&Pattern] = &[$(&$name::PATTERN),+];
    };
}
patterns!(catalogue);

/// A way in which connections fail.
pub struct Pattern {
    /// The id: `snake_case`, names the symptom, never reused.
    pub id: &'static str,
    /// How bad it is as a rule; the judge may say otherwise of one connection.
    pub severity: Severity,
    /// When it is asked.
    pub triggers: &'static [Trigger],
    /// Less specific patterns that give way when this one holds for the same incident.
    pub supersedes: &'static [&'static str],
    /// What a user may tune.
    pub settings: &'static [&'static Setting],
    /// The errnos a program gets by it, and the signal that comes with one; each has an [`errno_page`].
    pub errnos: &'static [&'static str],
    /// The kernel programs without which it cannot be told, besides `state_change`, which all need.
    pub needs: &'static [&'static str],
    /// What it means, in both languages.
    pub text: Text,
    /// The rule.
    pub judge: fn(&View<'_>) -> Verdict,
    /// What it finds and what it must not find; also its tests.
    pub scenarios: &'static [Scenario],
}

/// When a pattern is asked.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// When this happens.
    On(Moment),
    /// A socket has stayed in a state for as long as a setting says.
    Stay(State, &'static Setting),
    /// An orphan in FIN_WAIT2, parked as a TIME_WAIT remainder, is about to expire, or has stayed as long as a
    /// setting says.
    Parked(&'static Setting),
}

/// What may happen to an end; of one end's incidents they are judged in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It goes to CLOSE with an error pending.
    Failed,
    /// It sends a RST.
    ResetSent,
    /// A send call of its process gives EPIPE.
    CallFailed,
    /// Its process closes it while it still connects.
    Abandoned,
    /// Its process dies, of a signal or with a status other than 0, with the connection open.
    Died,
    /// A receive call comes upon the end of the stream where an answer was due.
    EofRead,
    /// A segment is sent again while the connection lives, and an ICMP error has come.
    SoftError,
    /// A system call fails, or tells of an error that nothing else has told.
    Called,
    /// A look has found a listener's queue full, or that it has dropped.
    QueueFull,
    /// A look has found the peer's window closed, and data waiting.
    Stalled,
    /// A look has found it open, silent for long, and nothing that would tell if the peer were gone.
    Idle,
    /// Too much of what it sends is sent again.
    Lossy,
    /// Its full segments do not get through, and smaller ones do.
    Blackholed,
    /// Nobody has it any more, and its end is not acknowledged.
    Stuck,
    /// RSTs come for it that its kernel does not believe.
    ResetRefused,
    /// The answer to a SYN is sent again and again.
    HalfOpen,
    /// Its FIN has met the other end's.
    Closing,
    /// Its process closes it, and waits for the other end (`SO_LINGER`).
    Lingers,
    /// A RST answers a segment for which there is no connection.
    Loose,
}

/// A threshold a user may tune.
#[derive(Debug)]
pub struct Setting {
    /// `pattern.name`, unique.
    pub key: &'static str,
    /// What holds when nothing is said.
    pub default: Value,
    /// What it is for, in a sentence without a dot.
    pub meaning: &'static str,
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A stretch of time.
    Time(Duration),
    /// A number of things.
    Count(u64),
    /// A share, 0 to 1.
    Share(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{}%", share * 100.0),
            Self::Time(time) if time.subsec_nanos() == 0 => write!(f, "{}s", time.as_secs()),
            Self::Time(time) if time.subsec_nanos() % 1_000_000 == 0 => write!(f, "{}ms", time.as_millis()),
            Self::Time(time) => write!(f, "{}ns", time.as_nanos()),
        }
    }
}

/// How long a finding may wait for the other end.
pub static HOLD: Setting = Setting {
    key: "join.hold",
    default: Value::Time(Duration::from_millis(50)),
    meaning: "how long a finding waits for what the other end tells",
};

/// How often what makes no event is looked at.
pub static POLL_PERIOD: Setting = Setting {
    key: "poll.period",
    default: Value::Time(Duration::from_secs(1)),
    meaning: "how often what makes no event is looked at",
};

/// How much of a CPU such looks may take together; likewise each kind of those that something asks for.
pub static POLL_SHARE: Setting = Setting {
    key: "poll.share",
    default: Value::Share(0.003),
    meaning: "how much of a CPU recurring looks may take together: what is over makes them further apart",
};

/// Over what time equal findings become one.
pub static STORM_WINDOW: Setting = Setting {
    key: "storm.window",
    default: Value::Time(Duration::from_secs(10)),
    meaning: "over what time findings of one pattern, owner and service become one record",
};

/// Every setting: the engine's own, then the patterns'.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    [&HOLD, &POLL_PERIOD, &POLL_SHARE, &STORM_WINDOW]
        .into_iter()
        .chain(CATALOGUE.iter().flat_map(|pattern| pattern.settings.iter().copied()))
}

/// The pattern with this id.
pub fn by_id(id: &str) -> Option<&'static Pattern> {
    CATALOGUE.iter().copied().find(|pattern| pattern.id == id)
}

/// A short history, and what the whole catalogue makes of it (the form is `scenario`'s).
pub struct Scenario {
    /// What happens, in a few words.
    pub name: &'static str,
    /// The history, one event a line.
    pub trace: &'static str,
    /// One line a finding: its id first, then words that its summary must hold.
    pub expect: &'static [&'static str],
}
