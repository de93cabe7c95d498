//! The records that leave this program: their JSON form, and its schema.
//!
//! Absent means unknown; zero, false and empty are values. What names something is a name, never a number.

pub mod community;
pub mod event;
pub mod finding;
pub mod run;
mod short;

pub use short::{LONGEST_LINE, line};

use crate::{name::Comm, time::Time};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the records' form; additions keep it.
pub const VERSION: u32 = 1;

/// What every record begins with.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Common {
    /// Version of the form, 1.
    pub v: u32,
    /// Kind of record.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// 1, 2, 3 … at each output, counted after its filter: a gap is a loss.
    pub seq: u64,
    /// Time of the event, RFC 3339, UTC, nanoseconds.
    pub time: String,
    /// The same in `CLOCK_BOOTTIME` nanoseconds.
    pub boot_ns: u64,
    /// Name of this host.
    pub host: String,
}

/// What makes a [`Common`].
#[derive(Clone, Debug)]
pub struct Stamp {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
    pub wall_minus_boot_ns: i64,
    /// Name of this host.
    pub host: String,
}

impl Stamp {
    /// The common part of a record about something that happened at `at`.
    pub fn common(&self, kind: &'static str, seq: u64, at: Time) -> Common {
        Common { v: VERSION, kind, seq, time: self.wall(at), boot_ns: at.0, host: self.host.clone() }
    }

    /// A time of day, RFC 3339.
    pub fn wall(&self, at: Time) -> String {
        let timestamp = self.timestamp(at);
        format!("{timestamp:.9}")
    }

    /// A time of day.
    pub fn timestamp(&self, at: Time) -> Timestamp {
        let ns = i128::from(at.0) + i128::from(self.wall_minus_boot_ns);
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// An address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Endpoint {
    /// The address; a mapped one as IPv4.
    pub address: String,
    /// The port.
    pub port: u16,
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { address: address.ip().to_string(), port: address.port() }
    }
}

/// A process that did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Actor {
    /// Process id.
    pub pid: u32,
    /// Its name, escaped for display.
    pub comm: String,
}

impl Actor {
    /// The actor of this id and name.
    pub fn new(pid: u32, comm: Comm) -> Self {
        Self { pid, comm: comm.to_string() }
    }
}

/// Any record, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum AnyRecord {
    Start(run::Start),
    Finding(Box<finding::FindingRecord>),
    Event(Box<event::EventRecord>),
    Stats(run::Stats),
    Stop(run::Stop),
}

/// The JSON Schema of every record.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(AnyRecord)
}
