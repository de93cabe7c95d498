//! One event of a history.

use super::{BEGIN, REASONS, detail::Detail, end::End};
use crate::{
    death::Death,
    errno::Errno,
    event::{
        Call, Called, Cookie, Delivery, Drop, Event, HalfOpen, Origin, Place, Presence, Snapshot, Task, What,
    },
    name::Comm,
    sockopt,
    time::Time,
};
use anyhow::{Context, Result, bail};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tracer_common::{
    State,
    counter::{Cell, Counter},
    record::{
        exit::OUT_OF_MEMORY,
        reset_sent::Segment,
        socket::{self, Tuple, words},
    },
};

/// The bit of RST in a TCP header's flags, RFC 9293.
const RST: u8 = 0x04;

pub(super) fn event(line: &str, ends: &mut BTreeMap<String, End>) -> Result<Event> {
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
    let asked_at = line.split_whitespace().find_map(|word| word.strip_prefix("listener="));
    let listener = asked_at.and_then(|name| ends.get(name)).map(|end| end.snapshot);
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
    let mut call = None;
    let mut bare = false;
    let mut detail = Detail::new();
    for word in words_of {
        if detail.take(word)? {
            continue;
        }
        match word.split_once('=') {
            Some(("reason", name)) => reason = REASONS.iter().position(|other| *other == name),
            Some(("answers", segment)) => answered = Some(parse_segment(segment, end.snapshot.tuple())?),
            Some(("listener", _)) => {}
            Some(("fd", number)) => fd = number.parse()?,
            Some(("call", name)) => call = Some(parse_call(name)?),
            None if word == "bare" => bare = true,
            Some(("by", process)) => by = Some(parse_process(process)?),
            None if argument.is_none()
                && (word.contains('[')
                    || word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
                    || matches!(word, "gone" | "waiting" | "held" | "unknown" | "delivered" | "ignored")) =>
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
        "reset-connecting" => {
            let connecting = Snapshot { state: State::SynSent, ..end.snapshot };
            What::ResetSent { origin: Origin::Full(connecting), segment: answered, reason }
        }
        "reset-sent" => What::ResetSent { origin: Origin::Full(end.snapshot), segment: answered, reason },
        "remainder-reset" => What::ResetSent {
            origin: Origin::Remainder {
                cookie: if bare { Cookie(0) } else { end.snapshot.cookie },
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
        "rejected" => {
            let segment = answered.context("what of it is rejected: answers=FLAGS:BYTES")?;
            What::Rejected { segment: Segment { tuple: segment.tuple.swapped(), ..segment } }
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
        "fails" => {
            let errno = Errno::by_name(argument()?).context("no such errno")?;
            let call = call.context("call=NAME is missing")?;
            let netns = end.snapshot.tuple().netns;
            let end = (!bare).then_some(end.snapshot);
            What::Called(Box::new(Called {
                call,
                fd: i32::try_from(fd)?,
                errno,
                socket: !bare,
                netns,
                place: Place::default(),
                end,
            }))
        }
        "queue" => {
            What::Queue { cookie: end.snapshot.cookie, tuple: end.snapshot.tuple(), look: detail.look }
        }
        "retransmit" => {
            What::Retransmit { end: end.snapshot, refused: end.snapshot.send_errno(), resent: detail.resent }
        }
        "refuses" => {
            let segment = answered.context("what it refuses: answers=FLAGS:BYTES")?;
            let segment = Segment { ttl: u8::try_from(detail.segment_ttl)?, ..segment };
            let why = match segment.tcp_flags & RST {
                0 => Drop::Syn,
                _ if detail.outside => Drop::ResetOutside,
                _ => Drop::Reset,
            };
            What::Dropped { end: end.snapshot, why, segment }
        }
        "answers-again" => What::HalfOpen(Box::new(HalfOpen {
            listener: listener.context("which it answers for: listener=NAME")?.cookie,
            tuple: end.snapshot.tuple(),
            past: listener.map(|listener| listener.past).unwrap_or_default(),
            depth: detail.look.depth,
            limit: detail.look.limit,
            ..detail.asked
        })),
        "sample" => {
            end.snapshot.state = State::parse(argument()?).context("no such state")?;
            What::Sample { end: end.snapshot }
        }
        "exits" => What::Exit { death: Death::of(exit_code(argument()?)?) },
        "eof" => {
            end.snapshot.past.eof_read_ns = at.0;
            What::Tick
        }
        "eof-unanswered" => {
            end.snapshot.past.eof_read_ns = at.0;
            What::EofRead { end: end.snapshot }
        }
        "holder" => {
            let (pid, comm) = parse_process(argument()?)?;
            task = Task { pid, tid: pid, comm };
            What::Holder { end: end.snapshot, fd, place: Place::default() }
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

/// `SIGKILL`, `OOM` or a status, as `exit_code` has it.
pub(super) fn exit_code(word: &str) -> Result<i32> {
    if word == "OOM" {
        return Ok(OUT_OF_MEMORY | 9);
    }
    match word.parse::<i32>() {
        Ok(status) => Ok(status << 8),
        Err(_) => Ok(word.parse::<nix::sys::signal::Signal>().context("no such signal")? as i32),
    }
}

fn presence(word: &str) -> Result<Presence> {
    Ok(match word {
        "gone" => Presence::Gone,
        "waiting" => Presence::Queued,
        "held" => Presence::Held,
        "unknown" => Presence::Unknown,
        state => Presence::In(State::parse(state).context("no such state")?),
    })
}

fn time(word: &str) -> Result<Time> {
    let milliseconds: f64 = word.strip_suffix("ms").context("times are in ms")?.parse()?;
    Ok(Time(BEGIN) + Duration::from_secs_f64(milliseconds / 1_000.0))
}

pub(super) fn tuple(local: SocketAddr, remote: SocketAddr) -> Tuple {
    Tuple {
        local: words(local.ip()),
        remote: words(remote.ip()),
        local_port: local.port(),
        remote_port: remote.port(),
        netns: 4_026_531_840,
    }
}

pub(super) fn parse_process(word: &str) -> Result<(u32, Comm)> {
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

/// `connect`, `accept`, `shutdown`, `so_error`, or `set:SOL_TCP/TCP_ULP`, `get:…`.
fn parse_call(word: &str) -> Result<Call> {
    Ok(match word.split_once(':') {
        None => match word {
            "connect" => Call::Connect,
            "accept" => Call::Accept,
            "shutdown" => Call::Shutdown,
            "so_error" => Call::TakeError,
            other => bail!("`{other}` is no call"),
        },
        Some((which, name)) => {
            let (level, option) = sockopt::by_name(name).context("no such option")?;
            match which {
                "set" => Call::SetOption { level, option },
                "get" => Call::GetOption { level, option },
                other => bail!("`{other}` is neither set nor get"),
            }
        }
    })
}
