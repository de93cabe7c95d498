//! One end of a history, as the kernel would keep it.

use super::{event::exit_code, event::parse_process, event::tuple, host};
use crate::{
    errno::Errno,
    event::{Cookie, Snapshot},
    name::Comm,
    time::Time,
};
use anyhow::{Context, Result, bail};
use std::{collections::BTreeMap, net::SocketAddr};
use tracer_common::{
    State,
    record::socket::{self, Past, Socket},
};

/// One end as the kernel would keep it.
#[derive(Clone)]
pub(super) struct End {
    pub(super) snapshot: Snapshot,
    pub(super) owner: Option<(u32, Comm)>,
}

impl End {
    pub(super) fn declare(text: &str, cookie: Cookie, ends: &BTreeMap<String, Self>) -> Result<Self> {
        let mut words_of = text.split_whitespace();
        let first = words_of.next().context("an end is missing")?;
        let mut socket = Socket { cookie: cookie.0, snd_nxt: 1_000, rcv_nxt: 2_000, ..Socket::default() };
        if first == "swap" || first == "behind" {
            let other = words_of.next().and_then(|name| ends.get(name)).context("no such end")?;
            socket.tuple = other.snapshot.tuple().swapped();
            if first == "behind" {
                let local: SocketAddr = words_of.next().context("the local address")?.parse()?;
                socket.tuple = tuple(local, other.snapshot.tuple().local_address());
            }
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
    pub(super) fn detail(&mut self, word: &str) -> Result<()> {
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
            "linger2" => socket.linger2 = value.parse()?,
            "window" => socket.snd_wnd = number()?,
            "sent" => {
                socket.snd_nxt = socket.snd_nxt.wrapping_add(number()?);
                socket.snd_una = socket.snd_nxt;
            }
            "unsent" => socket.write_seq = socket.snd_nxt.wrapping_add(number()?),
            "user_timeout" => socket.user_timeout = number()?,
            "silent" => socket.silence = number()? * host().hz / 1_000,
            "refused" => {
                let errno = Errno::by_name(value).context("no such errno")?;
                self.snapshot.past.send_errno = u8::try_from(errno.number())?;
            }
            "soft" => socket.err_soft = Errno::by_name(value).context("no such errno")?.number(),
            "exit" => {
                socket.flags |= socket::EXITING;
                self.snapshot.past.flags |= socket::CLOSED_BY_EXIT;
                self.snapshot.past.exit_code = exit_code(value)?;
                self.snapshot.past.source = socket::OWNER_CLOSE;
            }
            "linger" => {
                socket.flags |= socket::LINGER;
                socket.linger = number()? * host().hz / 1_000;
            }
            "ttl" => self.snapshot.past.ttl = u8::try_from(number()?)?,
            "reset_ttl" => self.snapshot.past.reset_ttl = u8::try_from(number()?)?,
            "resent" => socket.total_retrans = number()?,
            "ttl_varies" => self.snapshot.past.marks |= socket::TTL_VARIES,
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
    pub(super) fn change(&mut self, at: Time, old: State, new: State) {
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
