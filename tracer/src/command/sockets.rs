//! `tcptrace sockets`: one look at what is wrong now.

use crate::{
    cli::{SocketsArgs, exit::Exit},
    decode::decode,
    enrich::{self, Places},
    event::{Cookie, Owner, Snapshot, Source, What},
    finding::Party,
    kernel::{
        attach::Options,
        cgroup::Hierarchy,
        clock::{self, TickRate},
        hooks::{Hook, Point},
        look::Looks,
        namespace::{self, Leaving, Listening, SockDiag},
        probes::Probes,
        refusal::{Refusal, prepare},
        rights::Rights,
    },
    output::sockets::table,
    record::{
        Stamp,
        finding::Processes,
        line,
        socket::{QueueRecord, Sight, SocketRecord, Wrong},
    },
    terminal,
};
use anyhow::{Context, Result, bail};
use hashbrown::HashMap;
use std::{collections::BTreeSet, io::Write, time::Duration};
use tracer_common::{
    State,
    record::{
        Header,
        socket::{Tuple, words},
    },
    settings::Settings,
};

/// Bytes of a ring that nothing goes through: the least there is.
const RING: u32 = 4_096;

/// Looks once, and shows what is wrong.
///
/// # Errors
/// When the kernel does not allow the look, or standard output cannot be written.
pub fn run(arguments: &SocketsArgs) -> Result<Exit> {
    let mut sights = look()?;
    sights.sort_by_key(|sight| {
        (sight.wrong, sight.party.owner.map(|owner| owner.pid), sight.party.tuple.local_port)
    });
    let mut out = std::io::stdout().lock();
    if !arguments.json {
        write!(out, "{}", table(&sights, terminal::columns()))?;
        return Ok(Exit::Done);
    }
    let (now, offset) = (clock::now(), clock::offset().context("reading the clocks")?);
    let host = nix::unistd::gethostname().context("asking for the name of this host")?;
    let stamp =
        Stamp { wall_minus_boot_ns: offset.wall_minus_boot_ns, host: host.to_string_lossy().into_owned() };
    let mut places = Places::new(Rights::read()?.initial_pid_namespace);
    for (id, path) in Hierarchy::find()?.iter().flat_map(Hierarchy::walk) {
        places.made(id, &path);
    }
    let owners = sights.iter().filter_map(|sight| sight.party.owner);
    let processes: Processes = owners
        .map(|owner| (owner.pid, enrich::process(owner.pid, owner.place.cgroup, now, &places)))
        .collect();
    for (seq, sight) in (1..).zip(&sights) {
        out.write_all(&line(&SocketRecord::new(sight, seq, now, &stamp, &processes))?)?;
    }
    Ok(Exit::Done)
}

/// Looks at every descriptor once, and at the listeners and closing sockets of every namespace.
fn look() -> Result<Vec<Sight>> {
    let (types, vocabulary) = prepare(None)?;
    let unneeded =
        |hook: &Hook| (!matches!(hook.point, Point::Iterator(..))).then_some("a look needs no events");
    let options = Options { ring_bytes: RING, ..Options::default() };
    let mut probes = Probes::attach(&Settings::NONE, &vocabulary, &types, options, unneeded)?;
    for status in &probes.statuses {
        match &status.outcome {
            Err(refusal) if refusal.rights => bail!(Refusal::Rights(refusal.why.clone())),
            Err(refusal) if !refusal.unwanted => bail!(Refusal::Kernel(refusal.why.clone())),
            _ => {}
        }
    }
    let hz = TickRate::of_jiffies().context("asking how long a tick of the kernel is")?.hz();
    let mut found = Found { hz, holders: HashMap::new(), sights: Vec::new() };
    for program in ["holder", "quiet"] {
        found.take(&probes.iterate(program)?);
    }
    for namespace in Looks::new(Duration::ZERO)?.namespaces() {
        // A namespace may go while it is looked at.
        let ask = || -> Result<_> {
            let mut diag = SockDiag::open()?;
            Ok((diag.listeners()?, diag.leaving()?))
        };
        match namespace::enter(namespace, ask).and_then(|asked| asked) {
            Ok((listeners, leaving)) => {
                found.listeners(namespace.inum, &listeners);
                found.leaving(namespace.inum, &leaving);
                let ports: BTreeSet<u16> = listeners.iter().map(|one| one.local.port()).collect();
                let here = found.sights.iter_mut().filter(|sight| sight.party.tuple.netns == namespace.inum);
                here.for_each(|sight| sight.serves |= ports.contains(&sight.party.tuple.local_port));
            }
            Err(error) => eprintln!("tcptrace: sockets of {}: {error:#}", namespace.name),
        }
    }
    Ok(found.sights)
}

/// What the look has found so far.
struct Found {
    hz: u32,
    /// The first holder of each socket that has one.
    holders: HashMap<Cookie, (Tuple, Owner)>,
    sights: Vec<Sight>,
}

impl Found {
    /// Takes the records of an iterator.
    fn take(&mut self, mut records: &[u8]) {
        while let Some(length) = Header::length_of(records) {
            let (record, rest) = records.split_at(length);
            records = rest;
            let Ok(event) = decode(record) else { continue };
            let What::Holder { end, fd, place } = event.what else { continue };
            let (pid, comm) = (event.task.pid, event.task.comm);
            let holder = Owner { pid, comm, source: Source::Scan, fd: Some(fd), place };
            let (_, first) = *self.holders.entry(end.cookie).or_insert((end.tuple(), holder));
            if end.stalled() {
                self.sight(Wrong::ZeroWindow, &end, Some(first));
            } else if end.state == State::CloseWait {
                self.sight(Wrong::CloseWait, &end, Some(first));
            }
        }
    }

    /// Who holds a socket; where the programs know no cookies, whoever holds the only one with its addresses.
    fn holder(&self, cookie: u64, tuple: Tuple) -> Option<Owner> {
        let by_cookie = self.holders.get(&Cookie(cookie));
        let (_, owner) = by_cookie.or_else(|| {
            let numbered =
                |(other, (at, _)): &(&Cookie, &(Tuple, Owner))| other.of_kernel().is_none() && *at == tuple;
            let mut same = self.holders.iter().filter(numbered).map(|(_, holder)| holder);
            same.next().filter(|_| same.next().is_none())
        })?;
        Some(*owner)
    }

    fn sight(&mut self, wrong: Wrong, end: &Snapshot, owner: Option<Owner>) {
        let same = |sight: &Sight| sight.wrong == wrong && sight.party.cookie == Some(end.cookie);
        if self.sights.iter().any(same) {
            return;
        }
        self.sights.push(Sight {
            wrong,
            party: party(end.tuple(), end.cookie.0, Some(end.state), owner),
            serves: false,
            silent: end.silence(self.hz),
            queue: None,
            waiting_bytes: end.undelivered(),
            unread_bytes: end.unread(),
            retransmits: end.socket.retransmits,
        });
    }

    fn listeners(&mut self, netns: u32, listeners: &[Listening]) {
        for one in listeners.iter().filter(|one| one.depth > 0) {
            let mut tuple = Tuple { netns, ..Tuple::default() };
            (tuple.local, tuple.local_port) = (words(one.local.ip()), one.local.port());
            let owner = self.holder(one.cookie, tuple);
            self.sights.push(Sight {
                wrong: if one.full() { Wrong::QueueFull } else { Wrong::QueueWaits },
                party: party(tuple, one.cookie, Some(State::Listen), owner),
                serves: true,
                silent: None,
                queue: Some(QueueRecord {
                    depth: one.depth,
                    limit: one.limit.saturating_add(1),
                    drops: one.drops,
                }),
                waiting_bytes: 0,
                unread_bytes: 0,
                retransmits: 0,
            });
        }
    }

    fn leaving(&mut self, netns: u32, leaving: &[Leaving]) {
        for one in leaving {
            let state = State::from_number(one.state);
            let wrong = match state {
                Some(State::FinWait2) if !one.held => Wrong::ParkedFinWait2,
                Some(State::FinWait1 | State::LastAck | State::Closing) if one.retransmits > 0 => {
                    Wrong::StuckClosing
                }
                _ => continue,
            };
            let tuple = Tuple {
                local: words(one.local.ip()),
                remote: words(one.remote.ip()),
                local_port: one.local.port(),
                remote_port: one.remote.port(),
                netns,
            };
            self.sights.push(Sight {
                wrong,
                party: party(tuple, one.cookie, state, self.holder(one.cookie, tuple)),
                serves: false,
                silent: None,
                queue: None,
                waiting_bytes: if one.minisock { 0 } else { one.unacked },
                unread_bytes: 0,
                retransmits: one.retransmits,
            });
        }
    }
}

fn party(tuple: Tuple, cookie: u64, state: Option<State>, owner: Option<Owner>) -> Party {
    Party {
        tuple,
        cookie: Some(Cookie(cookie)),
        state,
        direction: None,
        age: None,
        preexisting: true,
        uid: None,
        owner,
        in_cgroup: false,
        followed: false,
    }
}
