//! Finds types by their name.

use super::record::{Kind, Records, Type};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Type ids by the hash of their name: hash in the upper half, id in the lower, sorted.
pub(super) struct Index(Vec<u64>);

impl Index {
    /// All types of these kinds that have a name.
    pub(super) fn of(records: &Records, wanted: impl Fn(Kind) -> bool) -> Self {
        let types = records.all().filter(|(_, found)| wanted(found.kind));
        let entry = |(id, found): (u32, Type)| Some(hash(records.name(found.name)?) | u64::from(id));
        let mut entries: Vec<u64> = types.filter_map(entry).collect();
        entries.sort_unstable();
        Self(entries)
    }

    /// All types of this name, in the order of their ids.
    pub(super) fn find<'a>(
        &'a self,
        records: &'a Records,
        name: &'a str,
    ) -> impl Iterator<Item = (u32, Type)> + 'a {
        let wanted = hash(name.as_bytes());
        let start = self.0.partition_point(|entry| *entry < wanted);
        let same = self.0.iter().skip(start).take_while(move |entry| (*entry ^ wanted) >> 32 == 0);
        same.filter_map(move |entry| {
            let id = u32::try_from(entry & u64::from(u32::MAX)).ok()?;
            let found = records.get(id).filter(|found| records.is_named(found.name, name))?;
            Some((id, found))
        })
    }
}

/// The hash of a name, in the upper half.
fn hash(name: &[u8]) -> u64 {
    FixedState::default().hash_one(name) & !u64::from(u32::MAX)
}
