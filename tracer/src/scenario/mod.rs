//! Scenarios as text: a small history of sockets, one event a line, played through the engine.
//!
//! First the ends: `c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]`, `s = swap c in nginx[17]`, or, where
//! the way translates addresses, `s = behind c 10.0.0.3:80 in nginx[17]` (`out` called connect(), `in` came out of a
//! listener; a process is the owner). Then events, `TIME END WHAT [DETAIL…]`:
//!
//! | what | event |
//! |---|---|
//! | `ESTABLISHED>CLOSE_WAIT` | a change of state |
//! | `reset-received` | a RST is taken as valid |
//! | `reset-sent reason=NAME [answers=PA:9]` | the socket sends a RST |
//! | `reset-connecting reason=NAME answers=A:0` | the socket sends a RST while it connects |
//! | `remainder-reset [bare] reason=NAME answers=PA:9` | its TIME_WAIT remainder does; `bare`: it has no cookie |
//! | `loose reason=NAME answers=S:0` | the other end's host does, for no socket |
//! | `rejected answers=PA:9` | a rule of this host's packet filter answers what it sent with a RST |
//! | `recv ERRNO`, `send ERRNO` | a call fails |
//! | `eof`, `eof-unanswered` | a read returns 0; it does where an answer was due |
//! | `fails ERRNO call=NAME [fd=N]` | a system call fails (`set:LEVEL/NAME`, `so_error` …); `bare`: its descriptor is no socket's |
//! | `retransmit [lossy over=MS of=N again=N] [blackhole length=N mss=N sacked=N times=N] [stuck]` | a segment is sent again |
//! | `refuses answers=R:0 [outside] [segment_ttl=N]`, `refuses answers=S:0` | the kernel throws a segment away that came for it |
//! | `answers-again listener=NAME answered=N timeouts=N half_open=N limit=N depth=N [acked]` | a SYN to it is answered once more |
//! | `sample STATE` | a look finds it in this state |
//! | `queue depth=N limit=N drops=N overflows=N syn_drops=N syn_cookies=N` | a look at its accept queue |
//! | `sigpipe delivered`, `sigpipe ignored` | the process is sent SIGPIPE |
//! | `exits SIGNAL` | it dies |
//! | `holder NAME[PID] fd=N` | a look finds a descriptor |
//! | `found STATE`, `found waiting`, `found gone`, `found unknown` | a look for this one socket is answered |
//!
//! and, without an end, `holders-done [began=MS]` and `lost COUNT`. Details: `err=ERRNO unacked=N unread=N received=N
//! shutdown=N retransmits=N probes=N window=N sent=N unsent=N user_timeout=MS linger=MS ttl=N reset_ttl=N resent=N silent=MS soft=ERRNO refused=ERRNO fin_timeout=SECONDS
//! linger2=N exit=SIGNAL exit=STATUS exit=OOM by=NAME[PID]` and the marks `owned queued dead done linger0 closed told keepalive mptcp fastopen
//! preexisting ttl_varies`. A size holds until it is said again.

mod detail;
mod end;
mod event;

use crate::{
    engine::{Capacity, Engine, Request},
    event::{Cookie, Event, Presence, Task, What},
    finding::{Finding, Party},
    pattern::{Host, Pattern},
    time::Time,
};
use anyhow::{Context, Result};
use end::End;
use std::{collections::BTreeMap, time::Duration};

/// Where scenarios begin: boot time 0 means "not seen".
const BEGIN: u64 = 1_000_000_000;
/// Longer than the window in which events may come in any order.
const STEP: Duration = Duration::from_millis(1);
/// Reset reasons have numbers here as they have in a kernel; which ones does not matter.
const REASONS: &[&str] = &[
    "NOT_SPECIFIED",
    "NO_SOCKET",
    "TCP_ABORT_ON_DATA",
    "TCP_TIMEWAIT_SOCKET",
    "TCP_ABORT_ON_CLOSE",
    "TCP_STATE",
    "TCP_FLAGS",
    "TCP_KEEPALIVE_TIMEOUT",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_ABORT_ON_LINGER",
    "TCP_ABORT_ON_MEMORY",
];

/// The host of every scenario.
pub fn host() -> Host {
    Host {
        reset_reasons: (0..).zip(REASONS).map(|(number, name)| (number, (*name).to_owned())).collect(),
        hz: 250,
        ..Host::default()
    }
}

/// Plays a history through an engine with the patterns that `active` lets pass, and ends the run.
///
/// # Errors
/// When the text is no history.
pub fn play(trace: &str, active: impl Fn(&Pattern) -> bool) -> Result<Vec<Finding>> {
    let mut engine = Engine::new(host(), Capacity::default(), active);
    let mut last = Time(BEGIN);
    let answered = trace.contains(" found ");
    for event in parse(trace)? {
        last = event.at;
        wait(&mut engine, event.at, answered);
        engine.ingest(event);
    }
    wait(&mut engine, last + Duration::from_secs(1), answered);
    engine.finish();
    Ok(engine.take_findings())
}

/// Lets time pass until `until`, as a run does: whenever the engine wants it. A look for another end finds none unless
/// the history has an answer.
fn wait(engine: &mut Engine, until: Time, answered: bool) {
    let mut now = engine.next_deadline() + STEP;
    while now < until {
        engine.advance(now);
        for request in engine.take_requests() {
            if let (Request::Peer { cookie, .. }, false) = (request, answered) {
                let what = What::Answer { asked: Some(cookie), found: Presence::Gone, began: now };
                engine.ingest(Event { at: now, cpu: 0, task: Task::default(), what });
            }
        }
        now = now.max(engine.next_deadline()) + STEP;
    }
    engine.advance(until);
}

/// Reads a history.
///
/// # Errors
/// When a line is none of a history.
pub fn parse(trace: &str) -> Result<Vec<Event>> {
    let mut ends = BTreeMap::new();
    let mut events = Vec::new();
    for line in trace.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let read = || -> Result<Option<Event>> {
            if let Some((name, declaration)) = line.split_once(" = ") {
                let cookie = Cookie(ends.len() as u64 + 1);
                let end = End::declare(declaration, cookie, &ends)?;
                ends.insert(name.to_owned(), end);
                return Ok(None);
            }
            event::event(line, &mut ends).map(Some)
        };
        let mut read = read;
        events.extend(read().with_context(|| format!("in the line `{line}`"))?);
    }
    Ok(events)
}

/// A finding in one line, as scenarios expect it.
pub fn summary(finding: &Finding) -> String {
    let name = |party: Option<&Party>| {
        let owner = party.and_then(|party| party.owner);
        owner.map_or_else(|| "none".to_owned(), |owner| format!("{}[{}]", owner.comm, owner.pid))
    };
    let fd = finding.local.owner.and_then(|owner| owner.fd).map_or(String::new(), |fd| format!(" fd={fd}"));
    let errno = finding.errno.map_or_else(|| "errno=none".to_owned(), |(errno, _)| errno.name());
    let reason = finding.reset.as_ref().and_then(|reset| reset.reason.as_deref()).unwrap_or("none");
    let whole = if finding.complete() {
        "complete".to_owned()
    } else {
        format!("missing={}", finding.missing.join(","))
    };
    format!(
        "{} {} {errno} local={}{fd} peer={} reason={reason} also={} count={} signal={} {whole}",
        finding.pattern,
        finding.severity,
        name(Some(&finding.local)),
        name(finding.peer.as_ref()),
        finding.also.join(","),
        finding.count,
        finding.signal.unwrap_or("none"),
    )
}
