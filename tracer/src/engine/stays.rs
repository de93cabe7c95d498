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
    bound: Bound,
}

/// How many stays are kept before those that are over are looked for: twice of what lasted then, so that looking costs
/// little, and a few at least.
#[derive(Clone, Copy)]
struct Bound {
    few: usize,
    now: usize,
}

impl Bound {
    fn new(few: usize) -> Self {
        Self { few, now: few }
    }

    /// So many last.
    fn widen(&mut self, lasting: usize) {
        self.now = (2 * lasting).max(self.few);
    }
}

/// Every stay that runs.
pub(super) struct Stays {
    queues: Vec<Queue>,
    /// Orphans stay as long as their namespace says: not all equally long.
    parked: BinaryHeap<Reverse<(Time, Cookie, usize)>>,
    parked_bound: Bound,
}

impl Stays {
    /// `few` stays of a kind may be over and not yet forgotten.
    pub(super) fn new(thresholds: impl Iterator<Item = (usize, State, Duration)>, few: usize) -> Self {
        let bound = Bound::new(few);
        let queues = thresholds.map(|(pattern, state, after)| {
            let began = VecDeque::new();
            Queue { pattern, state, after, began, bound }
        });
        Self { queues: queues.collect(), parked: BinaryHeap::new(), parked_bound: bound }
    }

    /// Forgets stays that are over, where there are too many: most stays are short, and in a storm millions end before
    /// they could count.
    pub(super) fn prune(&mut self, lasts: impl Fn(Cookie, Time) -> bool, is_parked: impl Fn(Cookie) -> bool) {
        for queue in self.queues.iter_mut().filter(|queue| queue.began.len() > queue.bound.now) {
            queue.began.retain(|(since, cookie)| lasts(*cookie, *since));
            queue.bound.widen(queue.began.len());
        }
        if self.parked.len() > self.parked_bound.now {
            self.parked.retain(|Reverse((_, cookie, _))| is_parked(*cookie));
            self.parked_bound.widen(self.parked.len());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_that_are_over_are_forgotten_and_those_that_last_are_not() {
        let after = Duration::from_mins(1);
        let mut stays = Stays::new([(0, State::CloseWait, after)].into_iter(), 10);
        let lasts = |cookie: Cookie| cookie.0.is_multiple_of(100);
        for number in 0..10_000 {
            stays.enter(State::CloseWait, Cookie(number), Time(number));
            stays.park(1, Cookie(number), Time(number) + after);
            stays.prune(|cookie, since| lasts(cookie) && since.0 == cookie.0, lasts);
            let most = 2 * (1 + usize::try_from(number).expect("few") / 100) + 11;
            assert!(stays.queues[0].began.len() <= most && stays.parked.len() <= most, "after {number}");
        }
        let mut due = [0, 0];
        while let Some(next) = stays.due(Time(10_000) + after) {
            match next {
                Due::Stay { cookie, .. } if lasts(cookie) => due[0] += 1,
                Due::Parked { cookie, .. } if lasts(cookie) => due[1] += 1,
                _ => {}
            }
        }
        assert_eq!(due, [100, 100]);
    }
}
