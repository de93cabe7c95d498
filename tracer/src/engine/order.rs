//! Puts events in the order of their time.

use crate::{event::Event, time::Time};
use std::{collections::VecDeque, time::Duration};

/// How late an event may come. The ring's order is that of the reserves on all CPUs; a hook takes the time a few
/// hundred nanoseconds before, and an interrupt may come between.
pub(super) const WINDOW: Duration = Duration::from_millis(2);

/// Events of the last [`WINDOW`], oldest first.
#[derive(Default)]
pub(super) struct Order {
    waiting: VecDeque<Event>,
}

impl Order {
    /// Takes an event. Events come almost sorted, so the place is near the end.
    pub(super) fn push(&mut self, event: Event) {
        let place = self.waiting.iter().rev().position(|other| other.at <= event.at);
        let index = place.map_or(0, |from_end| self.waiting.len() - from_end);
        self.waiting.insert(index, event);
    }

    /// The oldest event that nothing can precede any more at `now`.
    pub(super) fn pop(&mut self, now: Time) -> Option<Event> {
        self.waiting.pop_front_if(|event| event.at + WINDOW <= now)
    }

    /// When [`Self::pop`] will next give something.
    pub(super) fn next(&self) -> Option<Time> {
        self.waiting.front().map(|event| event.at + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, WINDOW};
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
}
