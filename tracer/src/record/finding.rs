//! The `finding` record.

use super::{
    Common, Endpoint, Stamp, community,
    fit::{LONGEST_LINE, Shrink, line},
    states,
    story::StepRecord,
};
use crate::{
    enrich::ProcessFacts,
    event::{Cookie, Source},
    finding::{Direction, ErrnoSource, Fact, Finding, Party, Severity},
    name::printable,
    time::nanoseconds,
};
use anyhow::Result;
use bytes::Bytes;
use hashbrown::HashMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

/// What is known of processes besides what the kernel programs tell, by process id.
pub type Processes = HashMap<u32, ProcessFacts>;

/// What went wrong with a connection.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FindingRecord {
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Number of the finding in this run, `f-17`.
    pub id: String,
    /// Earlier findings of the same connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<String>,
    /// Id of the pattern.
    pub pattern: &'static str,
    /// Other patterns that hold for the same incident.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<&'static str>,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// The pattern's title.
    pub title: &'static str,
    /// What happened, with names and numbers.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// A command that confirms it for this very connection; absent when what it needs is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// What the program got or will get; absent when it gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// How that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_source: Option<ErrnoSource>,
    /// The signal the program got with it: `SIGPIPE`; absent when it got none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<&'static str>,
    /// The connection, seen from the end the finding is about; absent when it is about none of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionRecord>,
    /// The process that owns that end; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// The other end, when it is on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerRecord>,
    /// The RST, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetRecord>,
    /// What bears on it; units are in the names.
    #[schemars(schema_with = "facts")]
    pub facts: BTreeMap<&'static str, Fact>,
    /// The story from both ends, oldest first.
    pub timeline: Vec<StepRecord>,
    /// How many steps were cut from the middle to keep the line short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline_cut: Option<usize>,
    /// How many incidents this record stands for.
    pub count: u64,
    /// Time of the first of them.
    pub first_time: String,
    /// Whether everything that bears on it was seen.
    pub complete: bool,
    /// What was not.
    pub missing: Vec<&'static str>,
}

/// One end of a connection.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConnectionRecord {
    /// `ipv4` or `ipv6`; mapped is IPv4.
    #[schemars(extend("enum" = ["ipv4", "ipv6"]))]
    pub family: &'static str,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Whether this end called connect(); absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The state when the trouble began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = states()))]
    pub state: Option<&'static str>,
    /// Inode number of the network namespace; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
    /// The socket's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// The connection's hash that other tools compute as well; absent while a port is not chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// Age in nanoseconds; absent when its birth was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ns: Option<u64>,
    /// Whether it is older than the tracer.
    pub preexisting: bool,
}

/// A process that owns an end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProcessRecord {
    /// Process id.
    pub pid: u32,
    /// Its number in its own pid namespace, which a container's tools show; absent where it is the same, or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<u32>,
    /// Its name, escaped for display.
    pub comm: String,
    /// Path of its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Its descriptor of the socket, when a look has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<u32>,
    /// User id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its cgroup: the one that names its container, else that of version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerRecord>,
    /// How it is known to own the socket.
    #[schemars(extend("enum" = ["scan", "accept", "connect", "listen", "io", "close"]))]
    pub source: &'static str,
}

/// A container.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ContainerRecord {
    /// Its id.
    pub id: String,
    /// What runs it, when its cgroup tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<&'static str>,
}

/// The other end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PeerRecord {
    /// The connection as that end sees it.
    pub connection: ConnectionRecord,
    /// The process that owns it; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
}

/// A RST.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ResetRecord {
    /// `sent` or `received`, by the end the finding is about.
    #[schemars(extend("enum" = ["sent", "received"]))]
    pub direction: &'static str,
    /// The kernel's reason, when its sender is on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `kernel` or `inferred`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["kernel", "inferred"]))]
    pub reason_source: Option<&'static str>,
}

impl FindingRecord {
    /// The record of a finding.
    pub fn new(finding: &Finding, seq: u64, stamp: &Stamp, processes: &Processes) -> Self {
        Self {
            common: stamp.common("finding", seq, finding.at),
            id: finding.id.to_string(),
            follows: finding.follows.iter().map(ToString::to_string).collect(),
            pattern: finding.pattern,
            also: finding.also.clone(),
            severity: finding.severity,
            confidence: finding.confidence,
            title: finding.title,
            message: printable(finding.message.as_bytes()),
            advice: finding.advice.clone(),
            confirm: finding.confirm.clone(),
            errno: finding.errno.map(|(errno, _)| errno.name()),
            errno_source: finding.errno.map(|(_, source)| source),
            signal: finding.signal,
            connection: finding.local.connected().then(|| connection(&finding.local)),
            process: process(&finding.local, processes),
            peer: finding
                .peer
                .as_ref()
                .map(|peer| PeerRecord { connection: connection(peer), process: process(peer, processes) }),
            reset: finding.reset.as_ref().map(|reset| ResetRecord {
                direction: if reset.sent { "sent" } else { "received" },
                reason: reset.reason.clone(),
                reason_source: reset
                    .reason
                    .as_ref()
                    .map(|_| if reset.inferred { "inferred" } else { "kernel" }),
            }),
            facts: finding.facts.iter().map(fact).collect(),
            timeline: finding.timeline.iter().map(|step| StepRecord::new(step, finding.at)).collect(),
            timeline_cut: None,
            count: finding.count,
            first_time: stamp.wall(finding.first),
            complete: finding.complete(),
            missing: finding.missing.clone(),
        }
    }

    /// The finding as a line of at most [`LONGEST_LINE`] bytes: the middle of the timeline goes first, then the
    /// ends of long texts.
    ///
    /// # Errors
    /// When it has no JSON form, which is a mistake in its type.
    pub fn line(&self) -> Result<Bytes> {
        line(self)
    }
}

impl Shrink for FindingRecord {
    const LONGEST: usize = LONGEST_LINE;

    fn length(&self) -> usize {
        self.timeline.len()
    }

    /// The beginning and the end of a story tell most.
    fn cut(&mut self, keep: usize) {
        let cut = self.timeline.len() - keep;
        let first = keep.div_ceil(2);
        self.timeline.drain(first..first + cut);
        self.timeline_cut = Some(cut);
    }

    fn strings(&mut self) -> Vec<&mut String> {
        let mut strings = vec![&mut self.message, &mut self.advice, &mut self.common.host];
        let processes = [self.process.as_mut(), self.peer.as_mut().and_then(|peer| peer.process.as_mut())];
        for process in processes.into_iter().flatten() {
            let container = process.container.as_mut().map(|container| &mut container.id);
            let more = [process.exe.as_mut(), process.cgroup.as_mut(), container];
            strings.push(&mut process.comm);
            strings.extend(more.into_iter().flatten());
        }
        strings.extend(self.confirm.as_mut());
        strings.extend(self.reset.as_mut().and_then(|reset| reset.reason.as_mut()));
        strings.extend(self.timeline.iter_mut().filter_map(|step| step.reason.as_mut()));
        strings.extend(self.facts.values_mut().filter_map(|fact| match fact {
            Fact::Text(text) => Some(text),
            Fact::Count(_) | Fact::Flag(_) => None,
        }));
        strings
    }

    fn trim(&mut self, entries: usize) {
        self.follows.drain(..self.follows.len().saturating_sub(entries));
        self.also.truncate(entries);
        self.missing.truncate(entries);
        while self.facts.len() > entries {
            self.facts.pop_last();
        }
    }
}

/// A fact, with what a terminal would obey escaped.
fn fact((name, fact): &(&'static str, Fact)) -> (&'static str, Fact) {
    match fact {
        Fact::Text(text) => (*name, Fact::Text(printable(text.as_bytes()))),
        plain => (*name, plain.clone()),
    }
}

fn facts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_]*$" },
        "additionalProperties": { "type": ["integer", "string", "boolean"] },
    })
}

/// The family of a connection.
pub(super) fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}

pub(super) fn connection(party: &Party) -> ConnectionRecord {
    let local = party.tuple.local_address();
    let mut remote = party.tuple.remote_address();
    if remote.port() == 0 && local.is_ipv4() {
        // A listener has no other end, whose family would tell.
        remote = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    }
    ConnectionRecord {
        family: family(remote),
        local: local.into(),
        remote: remote.into(),
        direction: party.direction,
        state: party.state.map(tracer_common::State::name),
        netns: Some(party.tuple.netns).filter(|netns| *netns != 0),
        cookie: party.cookie.and_then(Cookie::of_kernel),
        community_id: (local.port() != 0 && remote.port() != 0).then(|| community::id(local, remote)),
        age_ns: party.age.map(nanoseconds),
        preexisting: party.preexisting,
    }
}

pub(super) fn process(party: &Party, processes: &Processes) -> Option<ProcessRecord> {
    let owner = party.owner?;
    let facts = processes.get(&owner.pid);
    Some(ProcessRecord {
        pid: owner.pid,
        ns_pid: Some(owner.place.ns_pid).filter(|ns_pid| *ns_pid != 0 && *ns_pid != owner.pid),
        comm: owner.comm.to_string(),
        exe: facts.and_then(|facts| facts.exe.clone()),
        fd: owner.fd,
        uid: facts.and_then(|facts| facts.uid).or(party.uid),
        cgroup: facts.and_then(|facts| facts.cgroup.clone()),
        container: facts
            .and_then(|facts| facts.container.as_ref())
            .map(|container| ContainerRecord { id: container.id.clone(), runtime: container.runtime }),
        source: source(owner.source),
    })
}

/// The name of an owner's source.
fn source(source: Source) -> &'static str {
    match source {
        Source::Scan => "scan",
        Source::Accept => "accept",
        Source::Connect => "connect",
        Source::Listen => "listen",
        Source::Io => "io",
        Source::Close => "close",
    }
}
