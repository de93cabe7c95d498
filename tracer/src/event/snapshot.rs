//! A socket as a hook saw it, and who owns it.

use super::{Cookie, Place};
use crate::{death::Death, errno::Errno, name::Comm, time::Time};
use std::time::Duration;
use tracer_common::{
    State,
    record::socket::{self, Past, Socket, Tuple},
};

/// A socket as a hook saw it, and its past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Who it is.
    pub cookie: Cookie,
    /// Its state.
    pub state: State,
    /// What the hook read.
    pub socket: Socket,
    /// What was kept beside it.
    pub past: Past,
}

/// How the owner of a socket was learnt, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// It holds a descriptor, found by a scan.
    Scan,
    /// It owns the listener the connection waits at.
    Accept,
    /// It called connect().
    Connect,
    /// It called listen().
    Listen,
    /// It sent or received.
    Io,
    /// It closed or shut down.
    Close,
}

/// A process that owns a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Its name when it was learnt.
    pub comm: Comm,
    /// How it was learnt.
    pub source: Source,
    /// Its descriptor, when a scan has seen it.
    pub fd: Option<u32>,
    /// Where it was when it was learnt.
    pub place: Place,
}

impl Snapshot {
    /// The connection.
    pub fn tuple(&self) -> Tuple {
        self.socket.tuple
    }

    /// Whether the event's task is the one that acts on the socket.
    pub fn owned(&self) -> bool {
        self.has(socket::OWNED)
    }

    /// Whether no process holds the socket any more.
    pub fn dead(&self) -> bool {
        self.has(socket::DEAD)
    }

    /// Whether the peer's FIN has arrived.
    pub fn fin_received(&self) -> bool {
        self.has(socket::DONE)
    }

    /// Whether the other end closed first, not in answer to this one.
    pub fn closes_second(&self) -> bool {
        // The programs note when CLOSE_WAIT began, which only a FIN that comes first brings about.
        self.past.fin_received_ns != 0 || self.preexisting() && self.fin_received()
    }

    /// Whether the socket waits in an accept queue.
    pub fn queued(&self) -> bool {
        self.has(socket::NO_SOCKET) && !self.dead() && !self.has(socket::FAST_OPEN)
    }

    /// Whether this is a subflow of MPTCP, whose end is not the end of a connection.
    pub fn mptcp(&self) -> bool {
        self.has(socket::MPTCP)
    }

    /// Whether the socket is older than the tracer.
    pub fn preexisting(&self) -> bool {
        self.past.flags & socket::PREEXISTING != 0
    }

    /// The pending error.
    pub fn errno(&self) -> Option<Errno> {
        Errno::from_number(self.socket.err)
    }

    /// Bytes sent and not acknowledged, FIN and SYN included.
    pub fn unacked(&self) -> u32 {
        self.socket.snd_nxt.wrapping_sub(self.socket.snd_una)
    }

    /// Bytes written and not sent.
    pub fn unsent(&self) -> u32 {
        let unsent = self.socket.write_seq.wrapping_sub(self.socket.snd_nxt);
        // After a FIN was sent snd_nxt is one beyond write_seq.
        if unsent > u32::MAX / 2 { 0 } else { unsent }
    }

    /// Bytes written that the peer has not acknowledged: lost when the connection dies.
    pub fn undelivered(&self) -> u32 {
        self.unacked().saturating_add(self.unsent())
    }

    /// How old the connection is at `now`; none when its birth was not seen.
    pub fn age(&self, now: Time) -> Option<Duration> {
        Time::seen(self.past.born_ns).map(|born| now.since(born))
    }

    /// Bytes received and not read. A FIN takes one sequence number that is never read.
    pub fn unread(&self) -> u32 {
        let unread = self.socket.rcv_nxt.wrapping_sub(self.socket.copied_seq);
        unread.saturating_sub(u32::from(self.fin_received()))
    }

    /// Why the last retransmission did not leave this host; none when it did, or that is not known.
    pub fn send_errno(&self) -> Option<Errno> {
        Errno::from_number(self.past.send_errno.into())
    }

    /// The error that a timeout would give.
    pub fn soft_errno(&self) -> Option<Errno> {
        Errno::from_number(self.socket.err_soft)
    }

    /// Whether close() waits for the peer.
    pub fn lingers(&self) -> bool {
        self.socket.linger != 0
    }

    /// For how long it does; none when it does not, or the length of a tick is not known.
    pub fn linger_time(&self, hz: u32) -> Option<Duration> {
        let known = hz != 0 && self.lingers();
        known.then(|| Duration::from_millis(u64::from(self.socket.linger) * 1_000 / u64::from(hz)))
    }

    /// Whether nothing is sent or wanted any more, as after close().
    pub fn shut_both_ways(&self) -> bool {
        self.socket.shutdown == socket::SHUTDOWN_MASK
    }

    /// Whether data waits only because the peer has closed its window.
    pub fn stalled(&self) -> bool {
        self.socket.snd_wnd == 0 && self.unsent() > 0 && self.unacked() == 0
    }

    /// Whether the process that connected has neither sent nor received anything: SYN and FIN count as one byte each.
    /// `tcp_snd_una_update()`, <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c>
    pub fn silent(&self) -> bool {
        let read = self.socket.bytes_received.saturating_sub(self.unread().into());
        read <= 1 && self.socket.bytes_acked == 1 && self.undelivered() == 0
    }

    /// Whether it was made in a cgroup that is asked for; false where none is.
    pub fn in_cgroup(&self) -> bool {
        self.has(socket::IN_CGROUP)
    }

    /// Whether the kernel has handed out a record of its end.
    pub fn end_told(&self) -> bool {
        self.past.flags & socket::TOLD != 0
    }

    /// How the process that closed it died: of a signal, or with a status other than 0.
    pub fn death(&self) -> Option<Death> {
        let died = self.past.flags & socket::CLOSED_BY_EXIT != 0 && self.past.exit_code != 0;
        died.then(|| Death::of(self.past.exit_code))
    }

    /// Since when the peer has acknowledged nothing; none when that is not known.
    pub fn silence(&self, hz: u32) -> Option<Duration> {
        let known = hz != 0 && self.socket.silence != 0;
        known.then(|| Duration::from_millis(u64::from(self.socket.silence) * 1_000 / u64::from(hz)))
    }

    /// The process that owns it, as far as is known without a look.
    pub fn owner(&self) -> Option<Owner> {
        let source = match self.past.source {
            socket::OWNER_CONNECT => Source::Connect,
            socket::OWNER_LISTEN => Source::Listen,
            socket::OWNER_IO => Source::Io,
            socket::OWNER_CLOSE => Source::Close,
            socket::OWNER_SCAN => Source::Scan,
            _ => return None,
        };
        let place = Place { cgroup: self.past.cgroup, ns_pid: self.past.ns_pid };
        Some(Owner { pid: self.past.owner, comm: Comm(self.past.comm), source, fd: None, place })
    }

    fn has(&self, flag: u32) -> bool {
        self.socket.flags & flag != 0
    }
}
