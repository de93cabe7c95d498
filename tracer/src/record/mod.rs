//! The records that leave this program: their JSON form, and its schema.
//!
//! Absent means unknown; zero, false and empty are values. What names something is a name, never a number.

pub mod community;
pub mod event;
pub mod finding;
mod fit;
pub mod reconciliation;
pub mod run;
mod schema;
pub mod socket;
pub mod story;

pub use fit::{LONGEST_LINE, LONGEST_SUMMARY, Shrink, line};
pub use schema::schema;

#[cfg(test)]
pub(crate) mod sample;

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

/// The names of every TCP state, for the schema.
fn states() -> Vec<&'static str> {
    tracer_common::State::ALL.iter().map(|state| state.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        finding::{FindingRecord, Processes},
        sample,
    };
    use crate::finding::Finding;
    use serde_json::{Value, json};

    fn told(finding: &Finding, processes: &Processes) -> Value {
        let line = FindingRecord::new(finding, 3, &sample::stamp(), processes).line().expect("a line");
        serde_json::from_slice(&line).expect("JSON")
    }

    #[test]
    fn a_finding_is_told_in_full() {
        let value = told(&sample::finding(), &Processes::from_iter([(4_242, sample::facts())]));
        let connection = json!({
            "family": "ipv4", "local": { "address": "127.0.0.1", "port": 40_000 },
            "remote": { "address": "127.0.0.1", "port": 8_080 }, "direction": "outgoing", "state": "CLOSE_WAIT",
            "netns": 4_026_531_840_u32, "cookie": 4_711, "age_ns": 4_000_000_000_u64, "preexisting": false,
            "community_id": "1:KtokAHyz+LpmkWAFBK/+HjzP3tE=",
        });
        let nginx = json!({ "pid": 817, "comm": "nginx" });
        let curl = json!({ "pid": 4_242, "comm": "curl" });
        let process = json!({
            "pid": 4_242, "ns_pid": 242, "comm": "curl", "exe": "/usr/bin/curl", "fd": 5, "uid": 0, "source": "connect",
            "cgroup": "/system.slice/docker-0123.scope", "container": { "id": "0123", "runtime": "docker" },
        });
        let expected = json!({
            "v": 1, "type": "finding", "seq": 3, "id": "f-17", "follows": ["f-3"], "also": ["broken_pipe"],
            "time": "2023-11-14T22:13:30.000000000Z", "boot_ns": 10_000_000_000_u64, "host": "db1",
            "pattern": "fin_wait2_write_reset", "severity": "warning", "confidence": 0.95,
            "title": "RST answered a write to a socket in FIN_WAIT2",
            "message": "curl[4242] wrote 9 bytes 3.2 s after nginx[817] had closed; the kernel answered RST",
            "advice": "Treat end of file as the end of the connection.",
            "confirm": "ss -tnp state close-wait dport = :8080",
            "errno": "EPIPE", "errno_source": "derived", "signal": "SIGPIPE", "connection": connection, "process": process,
            "peer": {
                "connection": {
                    "family": "ipv4", "local": { "address": "127.0.0.1", "port": 8_080 },
                    "remote": { "address": "127.0.0.1", "port": 40_000 }, "direction": "incoming",
                    "state": "FIN_WAIT2", "netns": 4_026_531_840_u32, "cookie": 4_712,
                    "age_ns": 4_000_000_000_u64, "preexisting": false, "community_id": connection["community_id"],
                },
                "process": { "pid": 817, "comm": "nginx", "fd": 5, "uid": 1_000, "source": "close" },
            },
            "reset": { "direction": "received", "reason": "TCP_TIMEWAIT_SOCKET", "reason_source": "kernel" },
            "facts": { "unacked": 9, "eof_read": false, "how": "x" },
            "timeline": [
                { "at_ns": -3_200_000_000_i64, "end": "remote", "what": "state", "from": "ESTABLISHED",
                  "to": "FIN_WAIT1", "by": nginx, "dying": "SIGKILL" },
                { "at_ns": -2_000, "end": "local", "what": "eof_read", "by": curl },
                { "at_ns": -1_000, "end": "remote", "what": "reset_sent", "reason": "TCP_TIMEWAIT_SOCKET" },
                { "at_ns": 0, "end": "local", "what": "reset_received" },
                { "at_ns": 0, "end": "local", "what": "call_failed", "call": "send", "errno": "EPIPE", "by": curl },
            ],
            "count": 1, "first_time": "2023-11-14T22:13:30.000000000Z", "complete": true, "missing": [],
        });
        assert_eq!(value, expected, "{value:#}");
    }

    #[test]
    fn what_is_unknown_is_absent_and_what_is_empty_or_zero_is_not() {
        let value = told(&sample::bare(), &Processes::default());
        for key in
            ["follows", "also", "errno", "errno_source", "signal", "process", "peer", "reset", "timeline_cut"]
        {
            assert!(value.get(key).is_none(), "{key}");
        }
        for key in ["direction", "state", "cookie", "age_ns", "community_id"] {
            assert!(value["connection"].get(key).is_none(), "{key}");
        }
        assert_eq!(value["connection"]["local"], json!({ "address": "::1", "port": 0 }));
        assert_eq!(value["facts"], json!({}));
        assert_eq!(value["timeline"], json!([]));
        assert_eq!((&value["complete"], &value["missing"]), (&json!(false), &json!(["history"])));
    }

    #[test]
    fn nobody_smuggles_a_line_feed_or_an_escape_in() {
        let mut finding = sample::bare();
        finding.message = "evil\x1b[31m\nname".to_owned();
        let value = told(&finding, &Processes::default());
        assert_eq!(value["message"], "evil\\x1b[31m\\nname");
    }
}
