//! By which means a hook is attached.

use super::hooks::{Hook, Lack};
use crate::backend::Backend;
use tracer_common::layout::Numbers;

/// How a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At its tracepoint.
    Tracepoint,
    /// As an iterator, which is read when it is needed.
    Iterator,
    /// By trampolines at functions.
    Fentry,
    /// By kernel probes at functions.
    Kprobe,
}

impl Way {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::Iterator => "iterator",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
        }
    }
}

/// The ways to try for a hook, best first: whether its event is `there`, and `probes` may make up for what it lacks.
pub(super) fn ways(backend: Backend, hook: &Hook, numbers: &Numbers, there: bool, probes: bool) -> Vec<Way> {
    if hook.functions.is_empty() {
        return vec![Way::Tracepoint];
    }
    match backend {
        Backend::Tracepoint => vec![Way::Tracepoint],
        Backend::Fentry => vec![Way::Fentry],
        Backend::Kprobe => vec![Way::Kprobe],
        Backend::Auto => match (hook.lacks)(numbers) {
            None if there => vec![Way::Tracepoint],
            Some(Lack::Price) => vec![Way::Fentry, Way::Tracepoint],
            _ if probes => vec![Way::Fentry, Way::Kprobe, Way::Tracepoint],
            _ => vec![Way::Fentry, Way::Tracepoint],
        },
    }
}
