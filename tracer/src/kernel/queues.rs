//! Looks at the accept queues of listeners, by one question each, or by one dump of all listeners of a namespace.

use super::{
    counted::{Table, text},
    namespace::{Listening, Namespace, SockDiag, enter},
};
use crate::event::Listens;
use anyhow::{Context, Result};
use hashbrown::HashMap;
use std::fs::File;

/// So many listeners of a namespace are asked for one by one: a dump walks the kernel's table of all listeners.
const FEW: usize = 8;

/// What is kept of the namespaces whose listeners are looked at.
pub struct Queues {
    /// Whether all listeners are asked for, as long as no event was lost. A namespace counts for all of them, so where some
    /// are left out only a dump shows whose drops it has counted.
    all_known: bool,
    watched: HashMap<u32, Watched>,
}

/// A queue that is full, was, or has dropped since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueNews {
    /// The listener as it is now.
    pub listening: Listening,
    /// SYNs and handshakes it has dropped since the last look.
    pub drops: u32,
    /// What its namespace has counted since then.
    pub counted: Counted,
}

/// What a namespace counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often an accept queue was full (`ListenOverflows`).
    pub overflows: u64,
    /// SYNs dropped because a queue of half-open connections was full (`TCPReqQFullDrop`).
    pub syn_drops: u64,
    /// SYNs answered by a cookie for that reason (`TCPReqQFullDoCookies`).
    pub syn_cookies: u64,
}

/// The counters of a namespace from look to look.
#[derive(Default)]
struct Counters {
    /// What they were when last read.
    last: Counted,
    /// Whether that was at the last look.
    current: bool,
}

/// One namespace. Its sockets and files stay its own, wherever they are used.
struct Watched {
    diag: SockDiag,
    file: File,
    counters: Counters,
    /// Drops, and whether the queue was full, by the listener's cookie.
    known: HashMap<u64, (u32, bool)>,
    /// Whether a question did not find one that a dump did: of several at one address only some are found.
    shares_addresses: bool,
}

impl Queues {
    /// `all_known`: no filter leaves out a listener.
    pub fn new(all_known: bool) -> Self {
        Self { all_known, watched: HashMap::new() }
    }

    /// Looks for the first time at a namespace that is older than the watch: what it has dropped is nobody's news.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel cannot be asked.
    pub fn prime(&mut self, namespace: &Namespace) -> Result<()> {
        let mut watched = enter(namespace, Watched::open)??;
        let all = watched.diag.listeners()?;
        watched.keep(&all);
        let now = read_counters(&mut watched.file)?;
        watched.counters.take(Some(now));
        self.watched.insert(namespace.inum, watched);
        Ok(())
    }

    /// Looks at these listeners of a namespace, or at all; at its counters too where one has dropped, or where they are
    /// asked for. Cookies are told of once they are asked for twice in a row: only then is it known since when they count.
    /// The first look tells nothing, but where every listener was heard of as it began to listen.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel cannot be asked.
    pub fn look(
        &mut self,
        namespace: &Namespace,
        asked: &[Listens],
        counters: bool,
    ) -> Result<Vec<QueueNews>> {
        let by_one = self.all_known && asked.len() <= FEW;
        if let Some(watched) = self.watched.get_mut(&namespace.inum) {
            return watched.look(asked, by_one, counters);
        }
        if !by_one || !asked.iter().all(|one| one.from_the_start) {
            self.prime(namespace)?;
            return Ok(Vec::new());
        }
        let watched = enter(namespace, Watched::open)??;
        self.watched.entry(namespace.inum).or_insert(watched).look(asked, by_one, counters)
    }

    /// Lets go of namespaces that are not wanted any more: what is held open here keeps them alive.
    pub fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.watched.retain(|netns, _| wanted(*netns));
    }
}

impl Watched {
    fn open() -> Result<Self> {
        let file = File::open("/proc/thread-self/net/netstat").context("opening the counters of TCP")?;
        let (counters, known) = (Counters::default(), HashMap::new());
        Ok(Self { diag: SockDiag::open()?, file, counters, known, shares_addresses: false })
    }

    fn look(&mut self, asked: &[Listens], by_one: bool, counters: bool) -> Result<Vec<QueueNews>> {
        let all = if by_one && !self.shares_addresses { self.each(asked)? } else { self.diag.listeners()? };
        // One that is heard of late may have dropped before the watch.
        let late = |one: &Listening| {
            asked.iter().any(|asked| asked.cookie.of_kernel() == Some(one.cookie) && !asked.from_the_start)
        };
        let before = |one: &Listening| {
            let known = self.known.get(&one.cookie).copied();
            known.unwrap_or_else(|| (if late(one) { one.drops } else { 0 }, false))
        };
        let dropped = |one: &Listening| one.drops.wrapping_sub(before(one).0);
        let read = counters || all.iter().any(|one| dropped(one) > 0);
        let now = if read { Some(read_counters(&mut self.file)?) } else { None };
        let counted = self.counters.take(now);
        let news = all
            .iter()
            .map(|one| QueueNews { listening: *one, drops: dropped(one), counted })
            .filter(|news| {
                let was_full = before(&news.listening).1;
                news.drops > 0 || news.listening.full() || was_full || counted.syn_cookies > 0
            })
            .collect();
        self.keep(&all);
        Ok(news)
    }

    /// These listeners, one by one; all of the namespace where only a dump shows them.
    fn each(&mut self, asked: &[Listens]) -> Result<Vec<Listening>> {
        let mut all = Vec::with_capacity(asked.len());
        for one in asked {
            let Some(number) = one.cookie.of_kernel() else { return self.diag.listeners() };
            let Some(one) = self.diag.listener(one.tuple.local_address(), number)? else {
                // It has closed, or is found by a dump alone.
                let dumped = self.diag.listeners()?;
                self.shares_addresses = dumped.iter().any(|one| one.cookie == number);
                return Ok(dumped);
            };
            all.push(one);
        }
        Ok(all)
    }

    fn keep(&mut self, all: &[Listening]) {
        self.known = all.iter().map(|one| (one.cookie, (one.drops, one.full()))).collect();
    }
}

/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L7076-L7155>
fn read_counters(netstat: &mut File) -> Result<Counted> {
    counted(&text(netstat)?).context("this kernel does not count ListenOverflows")
}

impl Counters {
    /// Takes what they are at a look, if they were read; what is new since the last look.
    ///
    /// A drop is some listener's too, and then they are read at once. A cookie is nobody's: where they were not read at
    /// the last look, it may be older than that.
    fn take(&mut self, now: Option<Counted>) -> Counted {
        let current = std::mem::replace(&mut self.current, now.is_some());
        let Some(now) = now else { return Counted::default() };
        let new = now.since(&std::mem::replace(&mut self.last, now));
        Counted { syn_cookies: if current { new.syn_cookies } else { 0 }, ..new }
    }
}

impl Counted {
    fn since(&self, before: &Self) -> Self {
        Self {
            overflows: self.overflows.saturating_sub(before.overflows),
            syn_drops: self.syn_drops.saturating_sub(before.syn_drops),
            syn_cookies: self.syn_cookies.saturating_sub(before.syn_cookies),
        }
    }
}

/// The counters in a `netstat` file.
fn counted(text: &str) -> Option<Counted> {
    let table = Table::find(text, "TcpExt: ")?;
    Some(Counted {
        overflows: table.value("ListenOverflows")?,
        // What a kernel does not count it does not do, or says nothing of.
        syn_drops: table.value("TCPReqQFullDrop").unwrap_or(0),
        syn_cookies: table.value("TCPReqQFullDoCookies").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests;
