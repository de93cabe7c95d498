//! Looks at the accept queues of listeners, one dump of listeners a namespace.

use super::namespace::{Listening, Namespace, SockDiag, enter};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use std::{
    fs::File,
    io::{Read, Seek},
};

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
    /// How often an accept queue of its namespace was full since then.
    pub overflows: u32,
}

/// One namespace. Its sockets and files stay its own, wherever they are used.
struct Watched {
    diag: SockDiag,
    counters: File,
    /// `ListenOverflows` when last read.
    overflows: u64,
    /// Drops, and whether the queue was full, by the listener's cookie.
    known: HashMap<u64, (u32, bool)>,
}

impl Queues {
    /// Looks at the listeners of a namespace. The first look tells nothing: what was dropped before is nobody's news.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel cannot be asked.
    pub fn look(&mut self, namespace: &Namespace) -> Result<Vec<QueueNews>> {
        if let Some(watched) = self.watched.get_mut(&namespace.inum) {
            return watched.look();
        }
        let mut watched = enter(namespace, Watched::open)??;
        let all = watched.diag.listeners()?;
        watched.known = all.iter().map(|one| (one.cookie, (one.drops, one.full()))).collect();
        watched.overflows = watched.read_overflows()?;
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
        let counters = File::open("/proc/thread-self/net/netstat").context("opening the counters of TCP")?;
        Ok(Self { diag: SockDiag::open()?, counters, overflows: 0, known: HashMap::new() })
    }

    fn look(&mut self) -> Result<Vec<QueueNews>> {
        let all = self.diag.listeners()?;
        let before = |cookie| self.known.get(&cookie).copied().unwrap_or_default();
        let mut news: Vec<QueueNews> = all
            .iter()
            .map(|one| {
                let drops = one.drops.wrapping_sub(before(one.cookie).0);
                QueueNews { listening: *one, drops, overflows: 0 }
            })
            .filter(|news| news.drops > 0 || news.listening.full() || before(news.listening.cookie).1)
            .collect();
        self.known = all.iter().map(|one| (one.cookie, (one.drops, one.full()))).collect();
        if news.iter().any(|news| news.drops > 0) {
            let overflows = self.read_overflows()?;
            let new = overflows.saturating_sub(self.overflows);
            self.overflows = overflows;
            for news in &mut news {
                news.overflows = u32::try_from(new).unwrap_or(u32::MAX);
            }
        }
        Ok(news)
    }

    /// `ListenOverflows`: connections that met a full accept queue.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L7152-L7155>
    fn read_overflows(&mut self) -> Result<u64> {
        let mut text = String::new();
        self.counters.rewind().context("reading the counters of TCP")?;
        self.counters.read_to_string(&mut text).context("reading the counters of TCP")?;
        overflows(&text).context("this kernel does not count ListenOverflows")
    }
}

/// The counter in a `netstat` file: lines of names and lines of values take turns.
fn overflows(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|name| name == "ListenOverflows")?;
    values.split(' ').nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::overflows;

    #[test]
    fn the_counter_is_found_by_its_name() {
        let text =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: A\nIpExt: 4\n";
        assert_eq!(overflows(text), Some(22));
        assert_eq!(overflows("TcpExt: ListenDrops\nTcpExt: 1\n"), None);
    }
}
