//! Places of things, found by a part of the thing itself.

use super::aged::Place;
use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use std::hash::{BuildHasher as _, Hash};

/// Places by a key that several things may share. The keys are in the things alone, so that a place takes five bytes,
/// and those who ask say how to read them.
#[derive(Default)]
pub(super) struct Index {
    places: HashTable<Place>,
    hasher: RandomState,
}

impl Index {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The places of all that have this key, in no order.
    pub(super) fn all<K: Copy + Hash + Eq>(
        &self,
        key: K,
        of: impl Fn(Place) -> K,
    ) -> impl Iterator<Item = Place> {
        let hash = if self.places.is_empty() { 0 } else { self.hasher.hash_one(key) };
        self.places.iter_hash(hash).copied().filter(move |place| of(*place) == key)
    }

    /// The place of the one that has this key.
    pub(super) fn find<K: Copy + Hash + Eq>(&self, key: K, of: impl Fn(Place) -> K) -> Option<Place> {
        if self.places.is_empty() {
            return None;
        }
        self.places.find(self.hasher.hash_one(key), |place| of(*place) == key).copied()
    }

    /// Takes the place of one that has this key, besides others that share it.
    pub(super) fn insert<K: Hash>(&mut self, place: Place, of: impl Fn(Place) -> K) {
        let hash = |place: &Place| self.hasher.hash_one(of(*place));
        self.places.insert_unique(hash(&place), place, hash);
    }

    /// Takes the place of one that has this key, instead of another one that has it.
    pub(super) fn replace<K: Copy + Hash + Eq>(&mut self, place: Place, of: impl Fn(Place) -> K) {
        let key = of(place);
        let hash = |place: &Place| self.hasher.hash_one(of(*place));
        match self.places.entry(hash(&place), |place| of(*place) == key, hash) {
            Entry::Occupied(mut entry) => *entry.get_mut() = place,
            Entry::Vacant(entry) => drop(entry.insert(place)),
        }
    }

    /// Forgets a place that was taken with this key, if it still is known by it.
    pub(super) fn remove<K: Copy + Hash>(&mut self, key: K, place: Place) {
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(key), |other| *other == place) {
            entry.remove();
        }
    }
}
