//! Details of events that are about a queue or a segment, not about a socket.

use crate::event::{Cookie, HalfOpen, QueueLook, Resent};
use anyhow::{Context, Result};
use std::{str::FromStr, time::Duration};
use tracer_common::record::socket::{Past, Tuple};

/// What the words of a line say.
pub(super) struct Detail {
    pub(super) look: QueueLook,
    pub(super) resent: Resent,
    pub(super) asked: HalfOpen,
    /// The time to live of a segment.
    pub(super) segment_ttl: u32,
    /// Whether a RST is outside the window.
    pub(super) outside: bool,
}

impl Detail {
    pub(super) fn new() -> Self {
        let (tuple, past) = (Tuple::default(), Past::default());
        let none = 0;
        Self {
            look: QueueLook {
                depth: none,
                limit: none,
                drops: none,
                overflows: none,
                syn_drops: none,
                syn_cookies: none,
            },
            resent: Resent::default(),
            asked: HalfOpen {
                listener: Cookie(0),
                tuple,
                past,
                resent: none,
                timeouts: none,
                depth: none,
                limit: none,
                half_open: none,
                acked: false,
            },
            segment_ttl: none,
            outside: false,
        }
    }

    /// Takes a word; whether it is such a detail.
    pub(super) fn take(&mut self, word: &str) -> Result<bool> {
        let Some((name, value)) = word.split_once('=') else {
            let flag = match word {
                "lossy" => &mut self.resent.lossy,
                "blackhole" => &mut self.resent.blackhole,
                "stuck" => &mut self.resent.stuck,
                "acked" => &mut self.asked.acked,
                "outside" => &mut self.outside,
                _ => return Ok(false),
            };
            *flag = true;
            return Ok(true);
        };
        let number = match name {
            "segment_ttl" => &mut self.segment_ttl,
            "depth" => &mut self.look.depth,
            "limit" => &mut self.look.limit,
            "drops" => &mut self.look.drops,
            "overflows" => &mut self.look.overflows,
            "syn_drops" => &mut self.look.syn_drops,
            "syn_cookies" => &mut self.look.syn_cookies,
            "of" => &mut self.resent.sent,
            "again" => &mut self.resent.again,
            "length" => &mut self.resent.length,
            "mss" => &mut self.resent.mss,
            "sacked" => &mut self.resent.sacked,
            "times" => &mut self.resent.times,
            "answered" => &mut self.asked.resent,
            "timeouts" => &mut self.asked.timeouts,
            "half_open" => &mut self.asked.half_open,
            "over" => {
                let milliseconds = value.strip_suffix("ms").context("times are in ms")?;
                self.resent.over = Duration::from_millis(milliseconds.parse()?);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        *number = u32::from_str(value).with_context(|| format!("the number of {name}"))?;
        Ok(true)
    }
}
