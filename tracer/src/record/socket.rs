//! The `socket` record: what one look found wrong.

use super::{
    Common, Stamp,
    finding::{ConnectionRecord, ProcessRecord, Processes, connection, process},
    fit::{LONGEST_LINE, Shrink},
};
use crate::{
    finding::Party,
    time::{Time, nanoseconds},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What is wrong with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// More connections wait for accept() than the queue takes.
    QueueFull,
    /// Connections wait for accept().
    QueueWaits,
    /// The peer has closed, the process has not.
    CloseWait,
    /// The peer has closed its window, and data waits.
    ZeroWindow,
    /// The process has closed, and what it left is not acknowledged.
    StuckClosing,
    /// The process has closed, the peer has not.
    ParkedFinWait2,
}

impl Wrong {
    /// Its name in records and in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueWaits => "queue_waits",
            Self::CloseWait => "close_wait",
            Self::ZeroWindow => "zero_window",
            Self::StuckClosing => "stuck_closing",
            Self::ParkedFinWait2 => "parked_fin_wait2",
        }
    }
}

/// A socket with which something is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What.
    pub wrong: Wrong,
    /// The socket and who holds it.
    pub party: Party,
    /// Whether somebody listens on its own port, so that this end offers the service.
    pub serves: bool,
    /// For how long nothing has come from the peer, where that is known.
    pub silent: Option<Duration>,
    /// The accept queue of a listener.
    pub queue: Option<QueueRecord>,
    /// Bytes that the peer has not acknowledged, or that wait for it to read.
    pub waiting_bytes: u32,
    /// Bytes that the process has not read.
    pub unread_bytes: u32,
    /// Retransmissions that were not answered, in a row.
    pub retransmits: u8,
}

/// An accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueueRecord {
    /// Connections that wait.
    pub depth: u32,
    /// The most that can wait.
    pub limit: u32,
    /// SYNs and handshakes the listener has dropped since it listens.
    pub drops: u32,
}

/// A socket with which something is wrong, as `sockets` tells it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SocketRecord {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// What is wrong.
    pub wrong: Wrong,
    /// The connection, or where a listener listens.
    pub connection: ConnectionRecord,
    /// The process that holds it; absent when none does, or it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// For how long nothing has come from the peer; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ns: Option<u64>,
    /// The accept queue of a listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueRecord>,
    /// Bytes that the peer has not acknowledged, or that wait for it to read.
    pub waiting_bytes: u32,
    /// Bytes that the process has not read.
    pub unread_bytes: u32,
    /// Retransmissions that were not answered, in a row.
    pub retransmits: u8,
}

impl SocketRecord {
    /// The record of a socket that was looked at.
    pub fn new(sight: &Sight, seq: u64, at: Time, stamp: &Stamp, processes: &Processes) -> Self {
        Self {
            common: stamp.common("socket", seq, at),
            wrong: sight.wrong,
            connection: connection(&sight.party),
            process: process(&sight.party, processes),
            silent_ns: sight.silent.map(nanoseconds),
            queue: sight.queue,
            waiting_bytes: sight.waiting_bytes,
            unread_bytes: sight.unread_bytes,
            retransmits: sight.retransmits,
        }
    }
}

impl Shrink for SocketRecord {
    const LONGEST: usize = LONGEST_LINE;

    fn strings(&mut self) -> Vec<&mut String> {
        let process = self.process.as_mut();
        let named =
            process.map(|process| [Some(&mut process.comm), process.exe.as_mut(), process.cgroup.as_mut()]);
        let named = named.into_iter().flatten().flatten();
        [&mut self.common.host].into_iter().chain(named).collect()
    }
}
