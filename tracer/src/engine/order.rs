//! Puts events in the order of their time.

use crate::{event::Event, time::Time};
use std::{collections::VecDeque, time::Duration};

/// How late an event may come. The ring's order is that of the reserves on all CPUs; a hook takes the time a few
/// hundred nanoseconds before, and an interrupt may come between.
pub(super) const WINDOW: Duration = Duration::from_millis(2);

/// More events than any host makes within [`WINDOW`]: beyond it the oldest are taken as they are.
const CAPACITY: usize = 65_536;

/// Events of the last [`WINDOW`], oldest first.
#[derive(Default)]
pub(super) struct Order {
    waiting: VecDeque<(Time, Box<Event>)>,
    /// What was taken, to be filled again: an event is large, and to ask for memory takes longer than to copy it.
    #[expect(clippy::vec_box, reason = "a box goes back and forth between the two as it is")]
    spare: Vec<Box<Event>>,
}

impl Order {
    /// Takes an event. Events come almost sorted, so the place is near the end.
    #[inline]
    pub(super) fn push(&mut self, event: Event) {
        let at = event.at;
        let event = match self.spare.pop() {
            Some(mut spare) => {
                *spare = event;
                spare
            }
            None => Box::new(event),
        };
        match self.waiting.back() {
            Some((last, _)) if *last > at => {
                let place = self.waiting.iter().rev().position(|(other, _)| *other <= at);
                let index = place.map_or(0, |from_end| self.waiting.len() - from_end);
                self.waiting.insert(index, (at, event));
            }
            _ => self.waiting.push_back((at, event)),
        }
    }

    /// The oldest event that nothing can precede any more at `now`.
    pub(super) fn pop(&mut self, now: Time) -> Option<Box<Event>> {
        let full = self.waiting.len() > CAPACITY;
        self.waiting.pop_front_if(|(at, _)| full || *at + WINDOW <= now).map(|(_, event)| event)
    }

    /// Takes back an event that was popped.
    pub(super) fn reuse(&mut self, event: Box<Event>) {
        self.spare.push(event);
    }

    /// When [`Self::pop`] will next give something.
    pub(super) fn next(&self) -> Option<Time> {
        self.waiting.front().map(|(at, _)| *at + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Order, WINDOW};
    use crate::{
        event::{Event, Task, What},
        time::Time,
    };

    #[test]
    fn late_events_find_their_place() {
        let mut order = Order::default();
        for at in [3, 1, 2, 2, 9] {
            order.push(Event { at: Time(at), cpu: 0, task: Task::default(), what: What::Tick });
        }
        assert_eq!(order.next(), Some(Time(1) + WINDOW));
        let now = Time(3) + WINDOW;
        let popped: Vec<u64> = std::iter::from_fn(|| order.pop(now)).map(|event| event.at.0).collect();
        assert_eq!(popped, [1, 2, 2, 3]);
        assert_eq!(order.next(), Some(Time(9) + WINDOW));
    }

    #[test]
    fn events_that_come_all_at_once_are_not_kept_without_end() {
        let mut order = Order::default();
        for _ in 0..2 * CAPACITY {
            order.push(Event { at: Time(1), cpu: 0, task: Task::default(), what: What::Tick });
            while let Some(event) = order.pop(Time(1)) {
                order.reuse(event);
            }
            assert!(order.waiting.len() + order.spare.len() <= CAPACITY + 1);
        }
        assert_eq!(order.waiting.len(), CAPACITY);
    }
}
