//! What the kernel programs count and tell for a pattern alone, so that nothing is spent where it is off.

use crate::pattern::{CATALOGUE, Host, Moment, Pattern, Setting, Trigger, Value};
use std::time::Duration;

/// What the kernel programs count and tell for a pattern alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counting {
    /// Connections that send much again.
    pub lossy: Option<Lossy>,
    /// Full segments that do not get through.
    pub blackhole: bool,
    /// A close that is not acknowledged for so long.
    pub stuck: Option<Duration>,
    /// FINs that cross.
    pub closing: bool,
    /// A close() that waits for the peer.
    pub lingers: bool,
    /// RSTs that answer what nobody here has asked for.
    pub scans: bool,
}

/// When a connection counts as lossy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lossy {
    /// The share of segments that are sent again, 0 to 1.
    pub share: f64,
    /// Fewer segments say nothing.
    pub segments: u64,
    /// For how long they are counted.
    pub over: Duration,
}

impl Counting {
    /// What the patterns that `active` lets pass need.
    pub fn of(host: &Host, active: impl Fn(&Pattern) -> bool) -> Self {
        let asked = |moment: Moment| {
            let on = |trigger: &Trigger| matches!(trigger, Trigger::On(of) if *of == moment);
            let mut needing = CATALOGUE.iter().filter(|pattern| pattern.triggers.iter().any(on));
            needing.find(|pattern| active(pattern)).copied()
        };
        let value = |pattern: &Pattern, name: &str| {
            let own = |setting: &&&Setting| setting.key.rsplit('.').next() == Some(name);
            pattern.settings.iter().find(own).map(|setting| host.value(setting))
        };
        let lossy = asked(Moment::Lossy).and_then(|pattern| {
            match (value(pattern, "share"), value(pattern, "segments"), value(pattern, "over")) {
                (Some(Value::Share(share)), Some(Value::Count(segments)), Some(Value::Time(over))) => {
                    Some(Lossy { share, segments, over })
                }
                _ => None,
            }
        });
        let stuck = asked(Moment::Stuck).and_then(|pattern| match value(pattern, "after") {
            Some(Value::Time(after)) => Some(after),
            _ => None,
        });
        Self {
            lossy,
            blackhole: asked(Moment::Blackholed).is_some(),
            stuck,
            closing: asked(Moment::Closing).is_some(),
            lingers: asked(Moment::Lingers).is_some(),
            scans: asked(Moment::Loose).is_some(),
        }
    }
}
