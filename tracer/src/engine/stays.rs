//! How long sockets stay: one queue a threshold, because equal stays end in the order in which they began.

use crate::{event::Cookie, time::Time};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};
use tracer_common::State;

/// A stay that has lasted long enough, if it still lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The end has been in its state since then.
    Stay { pattern: usize, cookie: Cookie, since: Time, at: Time },
    /// The orphan was parked then.
    Parked { pattern: usize, cookie: Cookie, at: Time },
}

/// One threshold.
struct Queue {
    pattern: usize,
    state: State,
    after: Duration,
    began: VecDeque<(Time, Cookie)>,
}

/// Every stay that runs.
pub(super) struct Stays {
    queues: Vec<Queue>,
    /// Orphans stay as long as their namespace says: not all equally long.
    parked: BinaryHeap<Reverse<(Time, Cookie, usize)>>,
}

impl Stays {
    pub(super) fn new(thresholds: impl Iterator<Item = (usize, State, Duration)>) -> Self {
        let queues =
            thresholds.map(|(pattern, state, after)| Queue { pattern, state, after, began: VecDeque::new() });
        Self { queues: queues.collect(), parked: BinaryHeap::new() }
    }

    /// An end has entered a state.
    pub(super) fn enter(&mut self, state: State, cookie: Cookie, since: Time) {
        for queue in self.queues.iter_mut().filter(|queue| queue.state == state) {
            queue.began.push_back((since, cookie));
        }
    }

    /// An orphan was parked and is to be judged then.
    pub(super) fn park(&mut self, pattern: usize, cookie: Cookie, at: Time) {
        self.parked.push(Reverse((at, cookie, pattern)));
    }

    /// The next stay that has lasted long enough at `now`.
    pub(super) fn due(&mut self, now: Time) -> Option<Due> {
        for queue in &mut self.queues {
            let after = queue.after;
            if let Some((since, cookie)) = queue.began.pop_front_if(|(since, _)| *since + after <= now) {
                return Some(Due::Stay { pattern: queue.pattern, cookie, since, at: since + after });
            }
        }
        let Reverse((at, cookie, pattern)) = *self.parked.peek()?;
        (at <= now).then(|| {
            self.parked.pop();
            Due::Parked { pattern, cookie, at }
        })
    }

    pub(super) fn next(&self) -> Option<Time> {
        let queues =
            self.queues.iter().filter_map(|queue| queue.began.front().map(|(since, _)| *since + queue.after));
        queues.chain(self.parked.peek().map(|Reverse((at, ..))| *at)).min()
    }
}
