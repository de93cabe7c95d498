//! What has to be looked at because it makes no event.

use crate::pattern::{CATALOGUE, Host, Moment, Pattern, Trigger};
use std::time::Duration;

/// What has to be looked at because it makes no event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polling {
    /// The accept queues of listeners, every `poll.period`.
    pub queues: bool,
    /// Open sockets, at most this often.
    pub sockets: Option<Duration>,
    /// After so long a silence an open socket is told of.
    pub idle: Option<Duration>,
}

impl Polling {
    /// What the patterns that `active` lets pass need.
    pub fn of(host: &Host, active: impl Fn(&Pattern) -> bool) -> Self {
        let after = |asks: fn(&Trigger) -> bool| {
            let mut on = CATALOGUE.iter().filter(|pattern| active(pattern));
            let pattern = on.find(|pattern| pattern.triggers.iter().any(asks))?;
            pattern.settings.first().map(|setting| host.time(setting))
        };
        let asked =
            |pattern: &Pattern| pattern.triggers.iter().any(|t| matches!(t, Trigger::On(Moment::QueueFull)));
        let (stall, idle) = (
            after(|trigger| matches!(trigger, Trigger::On(Moment::Stalled))),
            after(|trigger| matches!(trigger, Trigger::On(Moment::Idle))),
        );
        // Often enough to see that it lasts.
        let often = [stall, idle].into_iter().flatten().min().map(|after| after / 4);
        Self {
            queues: CATALOGUE.iter().any(|pattern| active(pattern) && asked(pattern)),
            sockets: often.map(|often| often.max(MOST_OFTEN)),
            idle,
        }
    }
}

/// Open sockets are looked at no more often than this.
const MOST_OFTEN: Duration = Duration::from_millis(250);
