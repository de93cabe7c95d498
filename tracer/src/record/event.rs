//! The `event` record.

use super::{
    Actor, Common, Endpoint, Stamp,
    finding::family,
    fit::{LONGEST_LINE, Shrink},
    states,
};
use crate::{
    errno::Errno,
    event::{Call, Called, Cookie, Event, Origin, Snapshot, What},
    sockopt,
};
use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::Serialize;
use tracer_common::record::socket::Tuple;

/// Something that happened to a connection, right or wrong.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventRecord {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// What happened; `connect`, `accept`, `shutdown` and `sockopt` are calls that failed.
    #[schemars(extend("enum" = [
        "state", "reset_sent", "reset_received", "error", "send_failed", "receive_failed", "retransmit", "connect",
        "accept", "shutdown", "sockopt", "signal", "exit",
    ]))]
    pub event: &'static str,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = states()))]
    pub old_state: Option<&'static str>,
    /// The state after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = states()))]
    pub new_state: Option<&'static str>,
    /// The kernel's reason for a RST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The pending error, or what the call returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// The socket option of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// The signal that was sent, or how the process died: `SIGPIPE`, `exit 3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The connection; absent when the event has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<EventConnection>,
    /// The process that owns the socket; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Actor>,
}

/// The connection of an event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventConnection {
    /// `ipv4` or `ipv6`; mapped is IPv4.
    #[schemars(extend("enum" = ["ipv4", "ipv6"]))]
    pub family: &'static str,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Inode number of the network namespace; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
    /// The socket's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
}

impl EventRecord {
    /// The record of an event; none for what is no event of a connection.
    pub fn new(event: &Event, seq: u64, stamp: &Stamp, reasons: &HashMap<i32, String>) -> Option<Self> {
        let mut record = Self {
            common: stamp.common("event", seq, event.at),
            event: "",
            old_state: None,
            new_state: None,
            reason: None,
            errno: None,
            option: None,
            signal: None,
            connection: None,
            process: None,
        };
        match &event.what {
            What::StateChange { end, old, new } => {
                record.event = "state";
                (record.old_state, record.new_state) = (Some(old.name()), Some(new.name()));
                record.end(end);
            }
            What::ResetReceived { end } => {
                record.event = "reset_received";
                record.end(end);
            }
            What::Error { end } => {
                record.event = "error";
                record.end(end);
            }
            What::SendFailed { end, errno } | What::ReceiveFailed { end, errno } => {
                let send = matches!(event.what, What::SendFailed { .. });
                record.event = if send { "send_failed" } else { "receive_failed" };
                record.end(end);
                record.errno = errno.map(Errno::name);
            }
            What::ResetSent { origin, segment, reason } => {
                record.event = "reset_sent";
                record.reason = reason.and_then(|reason| reasons.get(&reason)).cloned();
                match (origin, segment) {
                    (Origin::Full(end), _) => record.end(end),
                    (Origin::Remainder { cookie, tuple, .. }, _) => {
                        record.connection = Some(connection(tuple, Some(cookie.0)));
                    }
                    (Origin::Nothing, Some(segment)) => {
                        record.connection = Some(connection(&segment.tuple, None));
                    }
                    (Origin::Nothing, None) => {}
                }
            }
            What::Retransmit { end, refused, .. } => {
                record.event = "retransmit";
                record.end(end);
                record.errno = refused.map(Errno::name);
            }
            What::Called(called) => record.called(event, called),
            What::BrokenPipe { .. } => {
                record.event = "signal";
                record.signal = Some("SIGPIPE".to_owned());
                record.process = Some(Actor::new(event.task.pid, event.task.comm));
            }
            What::Exit { death } => {
                record.event = "exit";
                record.signal = Some(death.name());
                record.process = Some(Actor::new(event.task.pid, event.task.comm));
            }
            _ => return None,
        }
        Some(record)
    }

    fn called(&mut self, event: &Event, called: &Called) {
        self.event = match called.call {
            Call::Connect => "connect",
            Call::Accept => "accept",
            Call::Shutdown => "shutdown",
            Call::SetOption { level, option } | Call::GetOption { level, option } => {
                self.option = Some(sockopt::name(level, option));
                "sockopt"
            }
            Call::TakeError => {
                self.option = Some("SOL_SOCKET/SO_ERROR".to_owned());
                "sockopt"
            }
        };
        self.connection = called.end.map(|end| connection(&end.tuple(), Some(end.socket.cookie)));
        self.process = Some(Actor::new(event.task.pid, event.task.comm));
        self.errno = Some(called.errno.name());
    }

    fn end(&mut self, end: &Snapshot) {
        self.connection = Some(connection(&end.socket.tuple, Some(end.cookie.0)));
        self.process = end.owner().map(|owner| Actor::new(owner.pid, owner.comm));
        self.errno = end.errno().map(Errno::name);
    }
}

fn connection(tuple: &Tuple, cookie: Option<u64>) -> EventConnection {
    EventConnection {
        family: family(tuple.remote_address()),
        local: tuple.local_address().into(),
        remote: tuple.remote_address().into(),
        netns: Some(tuple.netns).filter(|netns| *netns != 0),
        cookie: cookie.and_then(|cookie| Cookie(cookie).of_kernel()),
    }
}

impl Shrink for EventRecord {
    const LONGEST: usize = LONGEST_LINE;

    fn strings(&mut self) -> Vec<&mut String> {
        let comm = self.process.as_mut().map(|process| &mut process.comm);
        [Some(&mut self.common.host), self.reason.as_mut(), self.option.as_mut(), comm]
            .into_iter()
            .flatten()
            .collect()
    }
}
