//! The story of a finding, step by step.

use super::{Actor, states};
use crate::{
    death::Death,
    finding::{Happening, Step},
    time::Time,
};
use schemars::JsonSchema;
use serde::Serialize;

/// One step of the story.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StepRecord {
    /// Nanoseconds from the finding's time; negative is before.
    pub at_ns: i64,
    /// `local` or `remote`: at which end.
    #[schemars(extend("enum" = ["local", "remote"]))]
    pub end: &'static str,
    /// What happened: `state`, `eof_read`, `reset_sent`, `reset_received`, `call_failed`.
    #[schemars(extend("enum" = ["state", "eof_read", "reset_sent", "reset_received", "call_failed"]))]
    pub what: &'static str,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = states()))]
    pub from: Option<&'static str>,
    /// The state after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = states()))]
    pub to: Option<&'static str>,
    /// The kernel's reason for a RST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The call that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<&'static str>,
    /// With which errno.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// The process that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// How that process was ending meanwhile: `SIGKILL`, `exit 0`; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dying: Option<String>,
}

impl StepRecord {
    /// The record of a step, by its distance from the finding at `at`.
    pub(super) fn new(step: &Step, at: Time) -> Self {
        let at_ns = i64::try_from(i128::from(step.at.0) - i128::from(at.0)).unwrap_or(i64::MIN);
        let mut record = Self {
            at_ns,
            end: if step.local { "local" } else { "remote" },
            what: "",
            from: None,
            to: None,
            reason: None,
            call: None,
            errno: None,
            by: step.by.map(|owner| Actor::new(owner.pid, owner.comm)),
            dying: None,
        };
        match &step.what {
            Happening::State { from, to, death } => {
                record.dying = death.map(Death::name);
                (record.what, record.from, record.to) = ("state", Some(from.name()), Some(to.name()));
            }
            Happening::EofRead => record.what = "eof_read",
            Happening::ResetSent { reason } => (record.what, record.reason) = ("reset_sent", reason.clone()),
            Happening::ResetReceived => record.what = "reset_received",
            Happening::CallFailed { call, errno } => {
                (record.what, record.call, record.errno) = ("call_failed", Some(*call), Some(errno.name()));
            }
        }
        record
    }
}
