//! Looks at the accept queues of listeners, one dump of listeners a namespace.

use super::{
    counted::{Table, text},
    namespace::{Listening, Namespace, SockDiag, enter},
};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use std::fs::File;

/// What is kept of the namespaces whose listeners are looked at.
#[derive(Default)]
pub struct Queues {
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
}

impl Queues {
    /// Looks at the listeners of a namespace; at its counters too where one has dropped, or where they are asked for.
    /// Cookies are told of once they are asked for twice in a row: only then is it known since when they count.
    /// The first look tells nothing: what was dropped before is nobody's news.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel cannot be asked.
    pub fn look(&mut self, namespace: &Namespace, counters: bool) -> Result<Vec<QueueNews>> {
        if let Some(watched) = self.watched.get_mut(&namespace.inum) {
            return watched.look(counters);
        }
        let mut watched = enter(namespace, Watched::open)??;
        let all = watched.diag.listeners()?;
        watched.known = all.iter().map(|one| (one.cookie, (one.drops, one.full()))).collect();
        let now = watched.read_counters()?;
        watched.counters.take(Some(now));
        self.watched.insert(namespace.inum, watched);
        Ok(Vec::new())
    }

    /// Forgets a namespace.
    pub fn forget(&mut self, netns: u32) {
        self.watched.remove(&netns);
    }

    /// Lets go of namespaces that are not wanted any more: what is held open here keeps them alive.
    pub fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.watched.retain(|netns, _| wanted(*netns));
    }
}

impl Watched {
    fn open() -> Result<Self> {
        let file = File::open("/proc/thread-self/net/netstat").context("opening the counters of TCP")?;
        Ok(Self { diag: SockDiag::open()?, file, counters: Counters::default(), known: HashMap::new() })
    }

    fn look(&mut self, counters: bool) -> Result<Vec<QueueNews>> {
        let all = self.diag.listeners()?;
        let known = std::mem::take(&mut self.known);
        let before = |cookie| known.get(&cookie).copied().unwrap_or_default();
        let dropped = |one: &Listening| one.drops.wrapping_sub(before(one.cookie).0);
        let read = counters || all.iter().any(|one| dropped(one) > 0);
        let now = if read { Some(self.read_counters()?) } else { None };
        let counted = self.counters.take(now);
        let news = all
            .iter()
            .map(|one| QueueNews { listening: *one, drops: dropped(one), counted })
            .filter(|news| {
                let was_full = before(news.listening.cookie).1;
                news.drops > 0 || news.listening.full() || was_full || counted.syn_cookies > 0
            })
            .collect();
        self.known = all.iter().map(|one| (one.cookie, (one.drops, one.full()))).collect();
        Ok(news)
    }

    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L7076-L7155>
    fn read_counters(&mut self) -> Result<Counted> {
        counted(&text(&mut self.file)?).context("this kernel does not count ListenOverflows")
    }
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
mod tests {
    use super::{Counted, Counters, counted};

    #[test]
    fn a_cookie_counts_only_when_it_is_known_to_be_new() {
        let mut counters = Counters::default();
        let at = |syn_drops, syn_cookies| Some(Counted { overflows: 0, syn_drops, syn_cookies });
        counters.take(at(1, 10));
        assert_eq!(counters.take(at(2, 11)), Counted { overflows: 0, syn_drops: 1, syn_cookies: 1 });
        assert_eq!(counters.take(None), Counted::default());
        // They came at any time since the counters were read.
        assert_eq!(counters.take(at(5, 20)), Counted { overflows: 0, syn_drops: 3, syn_cookies: 0 });
        assert_eq!(counters.take(at(5, 22)), Counted { overflows: 0, syn_drops: 0, syn_cookies: 2 });
    }

    #[test]
    fn the_counters_are_found_by_their_names() {
        let text = "TcpExt: SyncookiesSent TCPReqQFullDrop ListenOverflows ListenDrops\n\
                    TcpExt: 1 4 22 333\nIpExt: A\nIpExt: 4\n";
        assert_eq!(counted(text), Some(Counted { overflows: 22, syn_drops: 4, syn_cookies: 0 }));
        assert_eq!(counted("TcpExt: ListenDrops\nTcpExt: 1\n"), None);
    }
}
