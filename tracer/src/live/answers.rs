//! Looks that the engine asks for, and their answers.

use super::{Live, own::header};
use crate::{
    engine::Request,
    event::{Cookie, Presence},
    kernel::clock,
    time::Time,
};
use anyhow::Result;
use std::time::Duration;
use tracer_common::record::{
    Kind,
    answer::{self, Answer},
};

impl Live {
    /// Answers what the engine asks.
    pub(super) fn serve(&mut self) -> Result<()> {
        let requests = self.engine.take_requests();
        for request in requests {
            match request {
                Request::Holders => self.looks.want_holders(),
                Request::Socket { cookie, tuple } => self.looks.want_socket(cookie, tuple),
                Request::Peer { cookie, tuple } => self.looks.want_peer(cookie, tuple),
            }
        }
        let began = clock::now();
        let mut found = self.looks.sockets();
        found.extend(self.looks.peers());
        if !found.is_empty() {
            self.drain()?; // what came meanwhile is older than the answers, which let time pass
        }
        for (cookie, found) in found {
            self.answer(Some(cookie), found, began)?;
        }
        if self.looks.holders_due() {
            let used = clock::own_cpu_time()?;
            self.look_for_holders()?;
            let cost = clock::own_cpu_time()?.saturating_sub(used);
            tracing::debug!("a look at all descriptors took {cost:?}");
            self.looks.space_holders(self.polls.shares.apart_by_itself(Duration::ZERO, cost));
        }
        Ok(())
    }

    /// Looks at all descriptors; where that is not to be had, the answer is that none was seen.
    pub(super) fn look_for_holders(&mut self) -> Result<()> {
        let began = clock::now();
        if self.probes.has("holder") {
            match self.probes.iterate("holder") {
                Ok(records) => self.feed_all(&records)?,
                Err(error) => tracing::warn!("looking for holders: {error:#}"),
            }
        }
        self.answer(None, Presence::Unknown, began)
    }

    fn answer(&mut self, asked: Option<Cookie>, found: Presence, began: Time) -> Result<()> {
        let state = match found {
            Presence::In(state) => state.number(),
            Presence::Queued => answer::QUEUED,
            Presence::Held => answer::HELD,
            Presence::Gone => answer::GONE,
            Presence::Unknown => answer::UNKNOWN,
        };
        let header = header::<Answer>(Kind::Answer, 0);
        let cookie = asked.map_or(0, |cookie| cookie.0);
        self.feed_own(&Answer { header, began_ns: began.0, cookie, state, reserved: [0; 7] })
    }
}
