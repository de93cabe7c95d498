//! Scenarios as text: a small history of sockets, one event a line, played through the engine.
//!
//! First the ends: `c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]`, `s = swap c in nginx[17]` (`out` called
//! connect(), `in` came out of a listener; a process is the owner). Then events, `TIME END WHAT [DETAIL…]`:
//!
//! | what | event |
//! |---|---|
//! | `ESTABLISHED>CLOSE_WAIT` | a change of state |
//! | `reset-received` | a RST is taken as valid |
//! | `reset-sent reason=NAME [answers=PA:9]` | the socket sends a RST |
//! | `remainder-reset reason=NAME answers=PA:9` | its TIME_WAIT remainder does |
//! | `loose reason=NAME answers=S:0` | the other end's host does, for no socket |
//! | `recv ERRNO`, `send ERRNO` | a call fails |
//! | `eof` | a read returns 0 |
//! | `sigpipe delivered`, `sigpipe ignored` | the process is sent SIGPIPE |
//! | `exits SIGNAL` | it dies |
//! | `holder NAME[PID] fd=N` | a look finds a descriptor |
//! | `found STATE`, `found waiting`, `found gone`, `found unknown` | a look for this one socket is answered |
//!
//! and, without an end, `holders-done [began=MS]` and `lost COUNT`. Details: `err=ERRNO unacked=N unread=N received=N
//! shutdown=N retransmits=N probes=N window=N unsent=N user_timeout=MS silent=MS soft=ERRNO fin_timeout=SECONDS
//! exit=SIGNAL exit=STATUS by=NAME[PID]` and the marks `owned queued dead done linger0 closed told keepalive mptcp fastopen
//! preexisting`. A size holds until it is said again.

use crate::{
    death::Death,
    engine::{Capacity, Engine},
    errno::Errno,
    event::{Cookie, Delivery, Event, Origin, Presence, Snapshot, Task, What},
    finding::Finding,
    name::Comm,
    pattern::{Host, Pattern},
    time::Time,
};
use anyhow::{Context, Result, bail};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tracer_common::{
    State,
    counter::{Cell, Counter},
    record::{
        reset_sent::Segment,
        socket::{self, Past, Socket, Tuple, words},
    },
};

/// Where scenarios begin: boot time 0 means "not seen".
const BEGIN: u64 = 1_000_000_000;
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
    for event in parse(trace)? {
        last = event.at;
        engine.advance(event.at);
        engine.ingest(event);
    }
    engine.advance(last + Duration::from_secs(1));
    engine.finish();
    Ok(engine.take_findings())
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
            event(line, &mut ends).map(Some)
        };
        let mut read = read;
        events.extend(read().with_context(|| format!("in the line `{line}`"))?);
    }
    Ok(events)
}

/// One end as the kernel would keep it.
#[derive(Clone)]
struct End {
    snapshot: Snapshot,
    owner: Option<(u32, Comm)>,
}

impl End {
    fn declare(text: &str, cookie: Cookie, ends: &BTreeMap<String, Self>) -> Result<Self> {
        let mut words_of = text.split_whitespace();
        let first = words_of.next().context("an end is missing")?;
        let mut socket = Socket { cookie: cookie.0, snd_nxt: 1_000, rcv_nxt: 2_000, ..Socket::default() };
        if first == "swap" {
            let other = words_of.next().and_then(|name| ends.get(name)).context("swap names no end")?;
            socket.tuple = other.snapshot.tuple().swapped();
            (socket.snd_nxt, socket.rcv_nxt) = (other.snapshot.socket.rcv_nxt, other.snapshot.socket.snd_nxt);
        } else {
            let local: SocketAddr = first.parse().context("the local address")?;
            let remote = words_of.nth(1).context("`> ADDRESS` is missing")?;
            socket.tuple = tuple(local, remote.parse().context("the remote address")?);
        }
        (socket.snd_una, socket.write_seq, socket.copied_seq) =
            (socket.snd_nxt, socket.snd_nxt, socket.rcv_nxt);
        let mut past = Past::default();
        let mut owner = None;
        for word in words_of {
            match word {
                "out" => past.flags |= socket::OUTGOING,
                "in" => past.flags |= socket::INCOMING,
                process => owner = Some(parse_process(process)?),
            }
        }
        if let Some((pid, comm)) = owner {
            (past.owner, past.comm, past.source) = (pid, comm.0, socket::OWNER_IO);
            if past.flags & socket::OUTGOING != 0 {
                past.source = socket::OWNER_CONNECT;
            }
        }
        Ok(Self { snapshot: Snapshot { cookie, state: State::Close, socket, past }, owner })
    }

    /// Applies a detail of an event to the socket.
    fn detail(&mut self, word: &str) -> Result<()> {
        let socket = &mut self.snapshot.socket;
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u32>().with_context(|| format!("the number of {name}"));
        match name {
            "err" => socket.err = Errno::by_name(value).context("no such errno")?.number(),
            "unacked" => socket.snd_una = socket.snd_nxt.wrapping_sub(number()?),
            "unread" => socket.copied_seq = socket.rcv_nxt.wrapping_sub(number()?),
            "received" => socket.bytes_received = number()?.into(),
            "shutdown" => socket.shutdown = u8::try_from(number()?)?,
            "retransmits" => socket.retransmits = u8::try_from(number()?)?,
            "probes" => socket.probes = u8::try_from(number()?)?,
            "window" => socket.snd_wnd = number()?,
            "unsent" => socket.write_seq = socket.snd_nxt.wrapping_add(number()?),
            "user_timeout" => socket.user_timeout = number()?,
            "silent" => socket.silence = number()? * host().hz / 1_000,
            "soft" => socket.err_soft = Errno::by_name(value).context("no such errno")?.number(),
            "exit" => {
                socket.flags |= socket::EXITING;
                self.snapshot.past.flags |= socket::CLOSED_BY_EXIT;
                self.snapshot.past.exit_code = exit_code(value)?;
                self.snapshot.past.source = socket::OWNER_CLOSE;
            }
            "fin_timeout" => socket.fin_timeout = number()? * host().hz,
            "owned" => socket.flags |= socket::OWNED,
            "queued" => socket.flags |= socket::NO_SOCKET,
            "dead" => socket.flags |= socket::DEAD,
            "done" => socket.flags |= socket::DONE,
            "linger0" => socket.flags |= socket::LINGER | socket::LINGER_ZERO,
            "told" => self.snapshot.past.flags |= socket::TOLD,
            "closed" => self.snapshot.state = State::Close,
            "keepalive" => socket.flags |= socket::KEEPALIVE,
            "mptcp" => socket.flags |= socket::MPTCP,
            "fastopen" => socket.flags |= socket::FAST_OPEN,
            "preexisting" => self.snapshot.past.flags |= socket::PREEXISTING,
            other => bail!("`{other}` is no detail"),
        }
        Ok(())
    }

    /// Keeps the past as the kernel programs keep it.
    fn change(&mut self, at: Time, old: State, new: State) {
        self.snapshot.state = old;
        let (socket, past) = (&mut self.snapshot.socket, &mut self.snapshot.past);
        match new {
            State::SynSent => past.born_ns = at.0,
            State::Established if old == State::SynRecv => (past.born_ns, past.established_ns) = (at.0, at.0),
            State::Established => past.established_ns = at.0,
            State::CloseWait => {
                past.fin_received_ns = at.0;
                socket.flags |= socket::DONE;
            }
            State::FinWait1 | State::LastAck => {
                past.fin_sent_ns = at.0;
                past.source = socket::OWNER_CLOSE;
            }
            State::Listen => past.source = socket::OWNER_LISTEN,
            // An abort by its own process.
            State::Close if socket.flags & socket::OWNED != 0 && socket.err == 0 => {
                past.source = socket::OWNER_CLOSE;
            }
            _ => {}
        }
    }
}

fn event(line: &str, ends: &mut BTreeMap<String, End>) -> Result<Event> {
    let mut words_of = line.split_whitespace();
    let at = time(words_of.next().context("a time is missing")?)?;
    let name = words_of.next().context("an end is missing")?;
    let plain = |what| Ok(Event { at, cpu: 0, task: Task::default(), what });
    match name {
        "holders-done" => {
            let began = words_of.next().and_then(|word| word.strip_prefix("began="));
            let began = began.map_or(Ok(at), |ms| time(&format!("{ms}ms")))?;
            return plain(What::Answer { asked: None, found: Presence::Unknown, began });
        }
        "lost" => {
            let count = words_of.next().context("how many are lost")?.parse()?;
            let cell = Cell { count, first_ns: at.0, last_ns: at.0 };
            return plain(What::Loss { counter: Counter::RingFull, cell });
        }
        _ => {}
    }
    let end = ends.get_mut(name).with_context(|| format!("no end is called `{name}`"))?;
    let what = words_of.next().context("what happens is missing")?;
    // Marks hold for the event that bears them; an errno, once read, is gone.
    let (flags, err) = (end.snapshot.socket.flags & (socket::DONE | socket::DEAD), end.snapshot.socket.err);
    end.snapshot.socket.flags = flags;
    let mut argument = None;
    let mut reason = None;
    let mut answered = None;
    let mut fd = 0;
    let mut by = None;
    for word in words_of {
        match word.split_once('=') {
            Some(("reason", name)) => reason = REASONS.iter().position(|other| *other == name),
            Some(("answers", segment)) => answered = Some(parse_segment(segment, end.snapshot.tuple())?),
            Some(("fd", number)) => fd = number.parse()?,
            Some(("by", process)) => by = Some(parse_process(process)?),
            None if argument.is_none()
                && (word.contains('[')
                    || word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
                    || matches!(word, "gone" | "waiting" | "unknown" | "delivered" | "ignored")) =>
            {
                argument = Some(word);
            }
            _ => end.detail(word)?,
        }
    }
    let reason = reason.map(i32::try_from).transpose()?;
    let argument = || argument.context("an argument is missing");
    let owner = by.or(end.owner).unwrap_or_default();
    let mut task = Task { pid: owner.0, tid: owner.0, comm: owner.1 };
    let what = match what {
        "reset-received" => What::ResetReceived { end: end.snapshot },
        "reset-sent" => What::ResetSent { origin: Origin::Full(end.snapshot), segment: answered, reason },
        "remainder-reset" => What::ResetSent {
            origin: Origin::Remainder {
                cookie: end.snapshot.cookie,
                tuple: end.snapshot.tuple(),
                substate: Some(State::FinWait2),
            },
            segment: answered,
            reason,
        },
        "loose" => {
            let segment =
                answered.map(|segment: Segment| Segment { tuple: segment.tuple.swapped(), ..segment });
            What::ResetSent { origin: Origin::Nothing, segment, reason }
        }
        "recv" | "send" => {
            let errno = Some(Errno::by_name(argument()?).context("no such errno")?);
            let end = end.snapshot;
            if what == "recv" { What::ReceiveFailed { end, errno } } else { What::SendFailed { end, errno } }
        }
        "sigpipe" => What::BrokenPipe {
            delivery: match argument()? {
                "delivered" => Delivery::Delivered,
                "ignored" => Delivery::Ignored,
                other => bail!("`{other}` is no fate of a signal"),
            },
        },
        "exits" => What::Exit { death: Death::of(exit_code(argument()?)?) },
        "eof" => {
            end.snapshot.past.eof_read_ns = at.0;
            What::Tick
        }
        "holder" => {
            let (pid, comm) = parse_process(argument()?)?;
            task = Task { pid, tid: pid, comm };
            What::Holder { end: end.snapshot, fd }
        }
        "found" => {
            What::Answer { asked: Some(end.snapshot.cookie), found: presence(argument()?)?, began: at }
        }
        change => {
            let (old, new) = change.split_once('>').context("nothing is called so")?;
            let old = State::parse(old).context("the old state")?;
            let new = State::parse(new).context("the new state")?;
            end.change(at, old, new);
            let seen = end.snapshot;
            end.snapshot.state = new;
            What::StateChange { end: seen, old, new }
        }
    };
    if err != 0 {
        end.snapshot.socket.err = 0;
    }
    Ok(Event { at, cpu: 0, task, what })
}

/// `SIGKILL` or a status, as `exit_code` has it.
fn exit_code(word: &str) -> Result<i32> {
    match word.parse::<i32>() {
        Ok(status) => Ok(status << 8),
        Err(_) => Ok(word.parse::<nix::sys::signal::Signal>().context("no such signal")? as i32),
    }
}

fn presence(word: &str) -> Result<Presence> {
    Ok(match word {
        "gone" => Presence::Gone,
        "waiting" => Presence::Queued,
        "unknown" => Presence::Unknown,
        state => Presence::In(State::parse(state).context("no such state")?),
    })
}

fn time(word: &str) -> Result<Time> {
    let milliseconds: f64 = word.strip_suffix("ms").context("times are in ms")?.parse()?;
    Ok(Time(BEGIN) + Duration::from_secs_f64(milliseconds / 1_000.0))
}

fn tuple(local: SocketAddr, remote: SocketAddr) -> Tuple {
    Tuple {
        local: words(local.ip()),
        remote: words(remote.ip()),
        local_port: local.port(),
        remote_port: remote.port(),
        netns: 4_026_531_840,
    }
}

fn parse_process(word: &str) -> Result<(u32, Comm)> {
    let (comm, pid) = word.strip_suffix(']').and_then(|word| word.split_once('[')).context("NAME[PID]")?;
    Ok((pid.parse()?, Comm::from(comm)))
}

/// `PA:9`: the flags of a segment to this end, and its payload.
fn parse_segment(word: &str, tuple: Tuple) -> Result<Segment> {
    let (flags, payload) = word.split_once(':').context("FLAGS:BYTES")?;
    let bits = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('A', 16)];
    let tcp_flags = bits.iter().filter(|(letter, _)| flags.contains(*letter)).map(|(_, bit)| bit).sum();
    Ok(Segment { tuple, payload: payload.parse()?, tcp_flags, ..Segment::default() })
}

/// A finding in one line, as scenarios expect it.
pub fn summary(finding: &Finding) -> String {
    let name = |party: Option<&crate::finding::Party>| {
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
