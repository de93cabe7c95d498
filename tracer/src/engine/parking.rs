//! Orphans in FIN_WAIT2 of which the kernel keeps a remainder, and tells no more.

use super::Engine;
use crate::{
    event::{Cookie, Event, Snapshot},
    pattern::Parked,
    time::Time,
};
use std::time::Duration;
use tracer_common::{
    State,
    record::socket::{PREEXISTING, Past, Socket, Tuple},
};

/// What Linux uses where a namespace's `tcp_fin_timeout` could not be read.
/// <https://github.com/torvalds/linux/blob/v6.12/include/net/tcp.h#L133-L136>
const FIN_TIMEOUT: Duration = Duration::from_mins(1);
/// An orphan is judged before it expires, because afterwards nothing proves that it was there: by a tenth of its
/// stay, so that a busy host is not too late, and between these.
const BEFORE_EXPIRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Engine {
    /// An orphan becomes a remainder of which the kernel tells no more.
    pub(super) fn park(&mut self, at: Time, end: &Snapshot) {
        let told = self.ends.get(end.cookie).map(|end| end.told.clone());
        if self.cases.any(end.cookie) {
            self.remember_closed(at, end);
        } else if told.is_some() {
            self.ends.remove(end.cookie);
        }
        let stays = self.stay_of(end);
        for (index, after) in &self.asked.parked {
            let judged = stays.min(*after);
            let margin = (judged / 10).clamp(BEFORE_EXPIRY.0, BEFORE_EXPIRY.1);
            self.stays.park(*index, end.cookie, at + judged - margin);
        }
        self.orphans.insert(Parked::new(*end, at, stays, told.unwrap_or_default()));
        self.touch_peers(end.tuple(), at);
    }

    /// For how long the kernel keeps an orphan in FIN_WAIT2: `tcp_fin_time()`.
    /// <https://github.com/torvalds/linux/blob/v6.12/include/net/tcp.h#L1652-L1661>
    fn stay_of(&self, end: &Snapshot) -> Duration {
        let ticks =
            u32::try_from(end.socket.linger2).ok().filter(|own| *own > 0).unwrap_or(end.socket.fin_timeout);
        if self.host.hz == 0 || ticks == 0 {
            return FIN_TIMEOUT;
        }
        Duration::from_millis(u64::from(ticks) * 1_000 / u64::from(self.host.hz))
    }
}

/// An orphan that was parked before the tracer began, or whose record gave way.
pub(super) fn unseen_orphan(cookie: Cookie, tuple: Tuple, event: &Event) -> Parked {
    let mut last =
        Snapshot { cookie, state: State::TimeWait, socket: Socket::default(), past: Past::default() };
    last.socket.tuple = tuple;
    last.past.flags = PREEXISTING;
    Parked::new(last, event.at, FIN_TIMEOUT, Vec::new())
}
