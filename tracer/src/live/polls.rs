//! What makes no event is looked at: accept queues, and open sockets to which nothing happens.

use super::{
    Live,
    own::header,
    share::{Look, Shares},
};
use crate::{
    engine::Polling,
    event::Listens,
    kernel::{clock, queues::Queues},
};
use anyhow::Result;
use std::time::{Duration, Instant};
use tracer_common::record::{
    Kind,
    queue::Queue,
    socket::{Tuple, words},
};

/// When what is looked at next.
pub(super) struct Polls {
    polling: Polling,
    queues: Queues,
    /// How often queues are looked at.
    period: Duration,
    pub(super) shares: Shares,
    queues_due: Instant,
    /// The same of namespaces in which a queue was seen full.
    full_queues_due: Instant,
    sockets_due: Instant,
    namespaces_due: Instant,
}

/// How often namespaces that nobody else uses are let go of, unless finding them takes too long for that.
const NAMESPACES_PERIOD: Duration = Duration::from_secs(10);

impl Polls {
    pub(super) fn new(polling: Polling, all_known: bool, period: Duration, share: f64) -> Self {
        let now = Instant::now();
        Self {
            polling,
            queues: Queues::new(all_known),
            period,
            shares: Shares::new(share),
            queues_due: now,
            full_queues_due: now,
            sockets_due: now,
            namespaces_due: now + NAMESPACES_PERIOD,
        }
    }
}

impl Live {
    /// Looks at the queues of every namespace for the first time: what was dropped before is nobody's news.
    pub(super) fn prime_queues(&mut self) {
        if self.polls.polling.queues {
            for namespace in self.looks.namespaces() {
                if let Err(error) = self.polls.queues.prime(namespace) {
                    tracing::info!("listeners of {}: {error:#}", namespace.name);
                }
            }
        }
    }

    /// Looks at what is due.
    pub(super) fn poll(&mut self) -> Result<()> {
        if Instant::now() >= self.polls.namespaces_due {
            let (began, used) = (Instant::now(), clock::own_cpu_time()?);
            self.looks.refresh()?;
            self.polls.queues.retain(|netns| self.looks.knows(netns));
            self.turn_books()?;
            let cost = clock::own_cpu_time()?.saturating_sub(used);
            tracing::debug!("finding the namespaces took {cost:?}");
            self.polls.namespaces_due = began + self.polls.shares.apart_by_itself(NAMESPACES_PERIOD, cost);
        }
        self.find_strangers()?;
        if self.polls.polling.queues && Instant::now() >= self.polls.queues_due {
            let (began, used) = (Instant::now(), clock::own_cpu_time()?);
            self.look_at_queues(&self.engine.listening(|_| true), &self.engine.syn_floods())?;
            let cost = clock::own_cpu_time()?.saturating_sub(used);
            tracing::debug!("a look at accept queues took {cost:?}");
            let period = self.polls.period;
            self.polls.queues_due = began + self.polls.shares.apart(Look::Queues, period, cost);
        } else if self.polls.polling.queues && Instant::now() >= self.polls.full_queues_due {
            // Where there are hundreds of namespaces the next look at all is far away.
            let (began, used) = (Instant::now(), clock::own_cpu_time()?);
            let floods = self.engine.syn_floods();
            self.look_at_queues(&self.engine.listening(|netns| floods.contains(&netns)), &floods)?;
            let cost = clock::own_cpu_time()?.saturating_sub(used);
            self.polls.full_queues_due = began + self.polls.shares.apart_by_itself(self.polls.period, cost);
        }
        if let Some(period) = self.polls.polling.sockets.filter(|_| Instant::now() >= self.polls.sockets_due)
        {
            let (began, used) = (Instant::now(), clock::own_cpu_time()?);
            match self.probes.iterate("quiet") {
                Ok(records) => {
                    self.drain()?;
                    self.feed_all(&records)?;
                }
                Err(error) => tracing::info!("looking at open sockets: {error:#}"),
            }
            let cost = clock::own_cpu_time()?.saturating_sub(used);
            tracing::debug!("a look at open sockets took {cost:?}");
            self.polls.sockets_due = began + self.polls.shares.apart(Look::Sockets, period, cost);
        }
        Ok(())
    }

    /// Looks at these listeners, those of a namespace side by side; at the counters of `floods` too.
    fn look_at_queues(&mut self, listening: &[Listens], floods: &[u32]) -> Result<()> {
        let mut records = Vec::new();
        for asked in listening.chunk_by(|one, next| one.tuple.netns == next.tuple.netns) {
            let netns = asked[0].tuple.netns;
            let Some(namespace) = self.looks.namespace(netns) else { continue };
            match self.polls.queues.look(namespace, asked, floods.contains(&netns)) {
                Ok(news) => records.extend(news.into_iter().map(|news| (netns, news))),
                Err(error) => tracing::info!("listeners of {}: {error:#}", namespace.name),
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        // A look is younger than what waits in the ring: that must be known when the look lets time pass.
        self.drain()?;
        for (netns, news) in records {
            let listening = news.listening;
            let mut tuple = Tuple { netns, ..Tuple::default() };
            (tuple.local, tuple.local_port) = (words(listening.local.ip()), listening.local.port());
            self.feed_own(&Queue {
                header: header::<Queue>(Kind::Queue, 0),
                cookie: listening.cookie,
                tuple,
                depth: listening.depth,
                limit: listening.limit,
                new_drops: news.drops,
                new_overflows: few(news.counted.overflows),
                new_syn_drops: few(news.counted.syn_drops),
                new_syn_cookies: few(news.counted.syn_cookies),
            })?;
        }
        Ok(())
    }
}

/// A number of things as a record has it.
fn few(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
