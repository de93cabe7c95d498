//! RSTs for no socket.

use super::{
    KEEP_CLOSED,
    table::{Addresses, addresses},
};
use crate::{
    pattern::Loose,
    time::{Time, nanoseconds},
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::VecDeque;
use tracer_common::record::socket::Tuple;

/// Recent RSTs for no socket, by the addresses of the segment they answered. Bounded: the oldest give way.
#[derive(Default)]
pub(super) struct LooseResets {
    by_addresses: HashMap<Addresses, Loose, RandomState>,
    arrivals: VecDeque<(Time, Addresses)>,
}

impl LooseResets {
    const CAPACITY: usize = 4_096;

    pub(super) fn insert(&mut self, loose: Loose) {
        if self.arrivals.len() >= Self::CAPACITY
            && let Some((_, oldest)) = self.arrivals.pop_front()
        {
            self.by_addresses.remove(&oldest);
        }
        let key = addresses(loose.answered.tuple);
        self.by_addresses.insert(key, loose);
        self.arrivals.push_back((loose.at, key));
    }

    /// The RST that answered a segment of this connection.
    pub(super) fn get(&self, of: Tuple) -> Option<&Loose> {
        self.by_addresses.get(&addresses(of.swapped()))
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((at, key)) = self.arrivals.pop_front_if(|(at, _)| *at + KEEP_CLOSED <= now) {
            if self.by_addresses.get(&key).is_some_and(|loose| nanoseconds(at.since(loose.at)) == 0) {
                self.by_addresses.remove(&key);
            }
        }
    }
}
