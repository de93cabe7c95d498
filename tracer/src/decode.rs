//! Bytes to [`Event`]: total, never panics, refuses what it does not know.

use crate::{
    death::Death,
    errno::Errno,
    event::{
        Call, Called, Cookie, Delivery, Drop, Event, HalfOpen, Origin, Place, Presence, QueueLook, Resent,
        Snapshot, Task, What,
    },
    name::Comm,
    time::Time,
};
use std::time::Duration;
use thiserror::Error;
use tracer_common::{
    State,
    counter::Counter,
    record::{
        Header, Kind,
        answer::{self, Answer},
        call,
        cgroup::{Cgroup, PATH},
        clock::Clock,
        drop,
        error::ErrorReport,
        exit::Exit,
        firewall_reset::FirewallReset,
        holder::Holder,
        loss::Loss,
        queue::Queue,
        receive_length::ReceiveLength,
        reset_received::ResetReceived,
        reset_sent::{REASON_ABSENT, ResetSent},
        retransmit::{self, Retransmit},
        sample::Sample,
        send_length::SendLength,
        signal::{self, Signal},
        socket::{FOLLOWED, IN_CGROUP, OUTGOING, OWNER_CONNECT, OWNER_IO, Past, Socket},
        state_change::StateChange,
        synack::Synack,
    },
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than every record has, or than this kind has.
    #[error("{0} bytes are too few for a record of this kind")]
    Short(usize),
    /// A kind this version does not know.
    #[error("unknown kind of record {0}")]
    Kind(u16),
    /// A state that is none.
    #[error("unknown TCP state {0}")]
    State(u8),
    /// A system call that is none of those looked at, or one that did not fail.
    #[error("unknown system call {0}")]
    Call(u32),
    /// A reason for a drop that is none of those looked at.
    #[error("unknown reason of a drop {0}")]
    Drop(u32),
    /// A counter that is none.
    #[error("unknown counter {0}")]
    Counter(u32),
}

/// Decodes one record; bytes after it are ignored (the ring rounds up).
///
/// # Errors
/// When the bytes are no record of this version.
pub fn decode(bytes: &[u8]) -> Result<Event, Malformed> {
    let header: Header = read(bytes)?;
    let kind = Kind::from_number(header.kind).ok_or(Malformed::Kind(header.kind))?;
    let what = match kind {
        Kind::StateChange => {
            let record: StateChange = read(bytes)?;
            let (old, new) = (state(record.old)?, state(record.new)?);
            What::StateChange { end: snapshot(record.socket, record.past)?, old, new }
        }
        Kind::ResetSent => reset_sent(&read(bytes)?)?,
        Kind::ResetReceived => {
            let record: ResetReceived = read(bytes)?;
            What::ResetReceived { end: snapshot(record.socket, record.past)? }
        }
        Kind::Error => {
            let record: ErrorReport = read(bytes)?;
            What::Error { end: snapshot(record.socket, record.past)? }
        }
        Kind::SendLength => {
            let record: SendLength = read(bytes)?;
            let errno = Errno::from_number(record.result);
            What::SendFailed { end: snapshot(record.socket, record.past)?, errno }
        }
        Kind::ReceiveLength => {
            let record: ReceiveLength = read(bytes)?;
            let end = snapshot(record.socket, record.past)?;
            match record.result {
                0 => What::EofRead { end },
                result => What::ReceiveFailed { end, errno: Errno::from_number(result) },
            }
        }
        Kind::Sample => {
            let record: Sample = read(bytes)?;
            What::Sample { end: snapshot(record.socket, record.past)? }
        }
        Kind::Holder => {
            let record: Holder = read(bytes)?;
            let place = Place { cgroup: record.cgroup, ns_pid: record.ns_pid };
            What::Holder { end: snapshot(record.socket, record.past)?, fd: record.fd, place }
        }
        Kind::Signal => {
            let record: Signal = read(bytes)?;
            let delivery = match record.delivery {
                signal::DELIVERED => Delivery::Delivered,
                signal::IGNORED => Delivery::Ignored,
                _ => Delivery::Unknown,
            };
            What::BrokenPipe { delivery }
        }
        Kind::Exit => {
            let record: Exit = read(bytes)?;
            What::Exit { death: Death::of(record.exit_code) }
        }
        Kind::Call => What::Called(Box::new(called(&read(bytes)?)?)),
        Kind::Retransmit => {
            let record: Retransmit = read(bytes)?;
            let end = snapshot(record.socket, record.past)?;
            What::Retransmit { end, refused: Errno::from_number(record.result), resent: resent(&record) }
        }
        Kind::Drop => {
            let record: drop::Drop = read(bytes)?;
            let why = match record.why {
                drop::RESET => Drop::Reset,
                drop::SEQUENCE => Drop::ResetOutside,
                drop::SYN => Drop::Syn,
                other => return Err(Malformed::Drop(other)),
            };
            What::Dropped { end: snapshot(record.socket, record.past)?, why, segment: record.segment }
        }
        Kind::Synack => {
            let record: Synack = read(bytes)?;
            What::HalfOpen(Box::new(HalfOpen {
                listener: Cookie(record.listener),
                tuple: record.tuple,
                past: record.past,
                resent: record.resent,
                timeouts: record.timeouts,
                depth: record.depth,
                limit: record.limit,
                half_open: record.half_open,
                acked: record.acked != 0,
            }))
        }
        Kind::FirewallReset => {
            let record: FirewallReset = read(bytes)?;
            What::Rejected { segment: record.segment }
        }
        Kind::Cgroup => {
            let record: Cgroup = read(bytes)?;
            let length = record.path.iter().position(|byte| *byte == 0).unwrap_or(PATH);
            What::Cgroup { id: (record.id != 0).then_some(record.id), path: record.path[..length].into() }
        }
        Kind::Queue => {
            let record: Queue = read(bytes)?;
            let look = QueueLook {
                depth: record.depth,
                limit: record.limit,
                drops: record.new_drops,
                overflows: record.new_overflows,
                syn_drops: record.new_syn_drops,
                syn_cookies: record.new_syn_cookies,
            };
            What::Queue { cookie: Cookie(record.cookie), tuple: record.tuple, look }
        }
        Kind::Answer => {
            let record: Answer = read(bytes)?;
            let found = match record.state {
                answer::GONE => Presence::Gone,
                answer::QUEUED => Presence::Queued,
                answer::HELD => Presence::Held,
                answer::UNKNOWN => Presence::Unknown,
                number => Presence::In(state(number)?),
            };
            What::Answer {
                asked: (record.cookie != 0).then_some(Cookie(record.cookie)),
                found,
                began: Time(record.began_ns),
            }
        }
        Kind::Loss => {
            let record: Loss = read(bytes)?;
            let counter = usize::try_from(record.counter).ok().and_then(|index| Counter::ALL.get(index));
            let counter = *counter.ok_or(Malformed::Counter(record.counter))?;
            What::Loss { counter, cell: record.cell }
        }
        Kind::Clock => {
            let record: Clock = read(bytes)?;
            What::Clock { wall_minus_boot_ns: record.wall_minus_boot_ns, hz: record.hz }
        }
        Kind::Tick => What::Tick,
    };
    let task = Task { pid: header.pid, tid: header.tid, comm: Comm(header.comm) };
    Ok(Event { at: Time(header.at_ns), cpu: header.cpu, task, what })
}

fn resent(record: &Retransmit) -> Resent {
    Resent {
        soft: record.news & retransmit::SOFT != 0,
        lossy: record.news & retransmit::LOSSY != 0,
        blackhole: record.news & retransmit::BLACKHOLE != 0,
        stuck: record.news & retransmit::STUCK != 0,
        over: Duration::from_nanos(record.over_ns),
        sent: record.sent,
        again: record.resent,
        length: record.length,
        mss: record.mss,
        sacked: record.sacked,
        times: record.times,
    }
}

fn reset_sent(record: &ResetSent) -> Result<What, Malformed> {
    let origin = match (record.socket.cookie, State::from_number(record.socket.state)) {
        (0, None) => Origin::Nothing,
        (cookie, Some(State::TimeWait)) => Origin::Remainder {
            cookie: Cookie(cookie),
            tuple: record.socket.tuple,
            substate: State::from_number(record.substate),
        },
        _ => Origin::Full(snapshot(record.socket, record.past)?),
    };
    let segment = (record.passive != 0).then_some(record.segment);
    let reason = (record.reason != REASON_ABSENT).then_some(record.reason);
    Ok(What::ResetSent { origin, segment, reason })
}

fn called(record: &call::Call) -> Result<Called, Malformed> {
    let (level, option) = (record.level, record.option);
    let call = match record.call {
        call::CONNECT => Call::Connect,
        call::ACCEPT => Call::Accept,
        call::SHUTDOWN => Call::Shutdown,
        call::SETSOCKOPT => Call::SetOption { level, option },
        call::GETSOCKOPT if record.value != 0 => Call::TakeError,
        call::GETSOCKOPT => Call::GetOption { level, option },
        other => return Err(Malformed::Call(other)),
    };
    let number = if record.value == 0 { record.result } else { record.value };
    let errno = Errno::from_number(number).ok_or(Malformed::Call(record.call))?;
    let end = (record.flags & call::TCP != 0).then(|| end_of_call(record, call)).transpose()?;
    let netns = record.tuple.netns;
    let place = Place { cgroup: record.cgroup, ns_pid: record.ns_pid };
    Ok(Called { call, fd: record.fd, errno, socket: record.flags & call::SOCKET != 0, netns, place, end })
}

/// The socket as the call shows it; who calls owns it.
fn end_of_call(record: &call::Call, call: Call) -> Result<Snapshot, Malformed> {
    let socket = Socket {
        cookie: record.cookie,
        tuple: record.tuple,
        ack_backlog: record.ack_backlog,
        max_ack_backlog: record.max_ack_backlog,
        uid: record.uid,
        state: record.state,
        flags: if record.flags & call::IN_CGROUP == 0 { 0 } else { IN_CGROUP },
        ..Socket::default()
    };
    let (source, flags) = if call == Call::Connect { (OWNER_CONNECT, OUTGOING) } else { (OWNER_IO, 0) };
    let flags = if record.flags & call::FOLLOWED == 0 { flags } else { flags | FOLLOWED };
    let past = Past {
        cgroup: record.cgroup,
        owner: record.header.pid,
        ns_pid: record.ns_pid,
        comm: record.header.comm,
        source,
        flags,
        ..Past::default()
    };
    snapshot(socket, past)
}

fn snapshot(socket: Socket, past: Past) -> Result<Snapshot, Malformed> {
    Ok(Snapshot { cookie: Cookie(socket.cookie), state: state(socket.state)?, socket, past })
}

fn state(number: u8) -> Result<State, Malformed> {
    State::from_number(number).ok_or(Malformed::State(number))
}

fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes).map(|(record, _)| record).map_err(|_| Malformed::Short(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::{Malformed, decode};
    use crate::event::What;
    use proptest::{collection::vec, prelude::any, prop_assert, proptest};
    use tracer_common::record::{Header, Kind};
    use zerocopy::IntoBytes;

    fn header(kind: u16) -> Header {
        Header { at_ns: 1, kind, len: 40, cpu: 0, pid: 1, tid: 1, comm: [0; 16] }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(decode(&[]), Err(Malformed::Short(0)));
        assert_eq!(decode(header(9_999).as_bytes()), Err(Malformed::Kind(9_999)));
        assert_eq!(decode(header(Kind::StateChange as u16).as_bytes()), Err(Malformed::Short(40)));
    }

    #[test]
    fn a_bare_tick_is_read() {
        assert_eq!(decode(header(Kind::Tick as u16).as_bytes()).map(|event| event.what), Ok(What::Tick));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in any::<u16>(), body in vec(any::<u8>(), 0..512)) {
            let mut bytes = header(kind % 80).as_bytes().to_vec();
            bytes.extend(body);
            prop_assert!(decode(&bytes).is_ok() || decode(&bytes).is_err());
        }
    }
}
