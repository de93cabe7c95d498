//! Things of one kind in one block of memory, in the order of their age: the oldest is known, any may go.
//!
//! A place that is free again is taken by the next that comes, so that many that come and go take no more memory, nor
//! more of the CPU's caches, than those that stay.

use std::ops::{Index, IndexMut};

/// Where a thing is for as long as it is there.
pub(super) type Place = u32;

/// No place.
const NONE: Place = Place::MAX;

struct Slot<T> {
    /// None where the place is free.
    thing: Option<T>,
    older: Place,
    /// Of a free place, the next free one.
    newer: Place,
}

/// Things in the order of their coming.
pub(super) struct Aged<T> {
    slots: Vec<Slot<T>>,
    oldest: Place,
    newest: Place,
    free: Place,
    len: usize,
}

impl<T> Default for Aged<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), oldest: NONE, newest: NONE, free: NONE, len: 0 }
    }
}

impl<T> Aged<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the oldest is.
    pub(super) fn oldest(&self) -> Option<Place> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Takes a thing that is newer than all others.
    pub(super) fn push(&mut self, thing: T) -> Place {
        let (older, thing) = (self.newest, Some(thing));
        let place = if self.free == NONE {
            let place = Place::try_from(self.slots.len()).expect("no capacity is that large");
            self.slots.push(Slot { thing, older, newer: NONE });
            place
        } else {
            let place = self.free;
            let slot = &mut self.slots[place as usize];
            self.free = slot.newer;
            (slot.thing, slot.older, slot.newer) = (thing, older, NONE);
            place
        };
        *self.newer_than(older) = place;
        self.newest = place;
        self.len += 1;
        place
    }

    /// Drops the thing that is there; its place is free.
    pub(super) fn remove(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        if slot.thing.take().is_none() {
            return;
        }
        let (older, newer) = (slot.older, slot.newer);
        slot.newer = self.free;
        self.free = place;
        *self.newer_than(older) = newer;
        if newer == NONE {
            self.newest = older;
        } else {
            self.slots[newer as usize].older = older;
        }
        self.len -= 1;
    }

    /// What says which is the next newer one; that of no place says which is the oldest.
    fn newer_than(&mut self, place: Place) -> &mut Place {
        if place == NONE { &mut self.oldest } else { &mut self.slots[place as usize].newer }
    }
}

impl<T> Index<Place> for Aged<T> {
    type Output = T;

    /// # Panics
    /// When nothing is there.
    fn index(&self, place: Place) -> &T {
        self.slots[place as usize].thing.as_ref().expect("who knows a place forgets it with the thing")
    }
}

impl<T> IndexMut<Place> for Aged<T> {
    fn index_mut(&mut self, place: Place) -> &mut T {
        self.slots[place as usize].thing.as_mut().expect("who knows a place forgets it with the thing")
    }
}

#[cfg(test)]
mod tests {
    use super::Aged;
    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn it_is_a_queue_of_which_any_may_go(steps in vec(any::<Option<u8>>(), 0..200)) {
            let (mut aged, mut queue) = (Aged::default(), Vec::new());
            let mut most = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    None => queue.push((aged.push(number), number)),
                    Some(_) if queue.is_empty() => {}
                    Some(which) => {
                        let (place, _) = queue.remove(usize::from(which) % queue.len());
                        aged.remove(place);
                    }
                }
                most = most.max(queue.len());
                prop_assert_eq!(aged.len(), queue.len());
                prop_assert_eq!(aged.slots.len(), most, "a free place is taken first");
                prop_assert_eq!(aged.oldest(), queue.first().map(|(place, _)| *place));
                for (place, number) in &queue {
                    prop_assert_eq!(aged[*place], *number);
                }
            }
            while let Some(place) = aged.oldest() {
                prop_assert_eq!(aged[place], queue.remove(0).1);
                aged.remove(place);
            }
            prop_assert_eq!((aged.len(), queue.len()), (0, 0));
        }
    }
}
