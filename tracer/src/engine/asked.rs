//! Which rules are asked about what: looked up once, not for each incident.

use super::case::CaseKind;
use crate::pattern::{CATALOGUE, Host, Trigger};
use std::{collections::BTreeMap, time::Duration};
use tracer_common::State;

/// The patterns that are on, by their places in the catalogue and what they are asked about.
pub(super) struct Asked {
    by_kind: BTreeMap<CaseKind, Vec<usize>>,
    /// Those that ask about orphans, and after which time.
    pub(super) parked: Vec<(usize, Duration)>,
    /// Those that ask about a stay in a state, and after which time.
    pub(super) stays: Vec<(usize, State, Duration)>,
}

impl Asked {
    /// Those of the catalogue for which `active` says so.
    pub(super) fn new(host: &Host, active: &[bool]) -> Self {
        let mut asked = Self { by_kind: BTreeMap::new(), parked: Vec::new(), stays: Vec::new() };
        for (index, (pattern, _)) in CATALOGUE.iter().zip(active).enumerate().filter(|(_, (_, on))| **on) {
            for trigger in pattern.triggers {
                asked.take(host, index, trigger);
            }
        }
        asked
    }

    fn take(&mut self, host: &Host, index: usize, trigger: &Trigger) {
        let kind = match trigger {
            Trigger::On(moment) => CaseKind::On(*moment),
            Trigger::Stay(state, after) => {
                self.stays.push((index, *state, host.time(after)));
                CaseKind::Stay(index)
            }
            Trigger::Parked(after) => {
                self.parked.push((index, host.time(after)));
                CaseKind::Parked(index)
            }
        };
        let indices = self.by_kind.entry(kind).or_default();
        if indices.last() != Some(&index) {
            indices.push(index);
        }
    }

    /// The patterns that are asked about an incident of this kind, in the order of the catalogue.
    pub(super) fn of(&self, kind: CaseKind) -> &[usize] {
        self.by_kind.get(&kind).map_or(&[], Vec::as_slice)
    }
}
