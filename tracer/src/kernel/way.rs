//! By which means a hook is attached.

use super::hooks::{Hook, Lack, Point};
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

/// The ways to try for a hook, best first: whether its event can be had, and `probes` may make up for what it lacks.
pub(super) fn ways(backend: Backend, hook: &Hook, numbers: &Numbers, there: bool, probes: bool) -> Vec<Way> {
    if hook.functions.is_empty() {
        return vec![Way::Tracepoint];
    }
    if let Point::Functions(_) = hook.point {
        // Trampolines know the kernel's own functions, and these are a module's.
        let wanted = backend == Backend::Kprobe || (backend == Backend::Auto && probes);
        return if wanted { vec![Way::Kprobe] } else { Vec::new() };
    }
    match backend {
        Backend::Tracepoint => vec![Way::Tracepoint],
        Backend::Fentry => vec![Way::Fentry],
        Backend::Kprobe => vec![Way::Kprobe],
        Backend::Auto => match (hook.lacks)(numbers) {
            None if there => vec![Way::Tracepoint],
            Some(Lack::Price) if there => vec![Way::Fentry, Way::Tracepoint],
            _ if probes => vec![Way::Fentry, Way::Kprobe, Way::Tracepoint],
            _ => vec![Way::Fentry, Way::Tracepoint],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Way, ways};
    use crate::{
        backend::Backend,
        kernel::hooks::{HOOKS, Point},
    };
    use tracer_common::layout::Numbers;

    #[test]
    fn what_only_kernel_probes_show_takes_them_where_they_are_taken_anyhow() {
        let alone: Vec<_> = HOOKS.iter().filter(|hook| matches!(hook.point, Point::Functions(_))).collect();
        assert!(!alone.is_empty());
        for hook in alone {
            let of = |backend, probes| ways(backend, hook, &Numbers::ABSENT, true, probes);
            assert_eq!(of(Backend::Auto, false), []);
            assert_eq!(of(Backend::Auto, true), [Way::Kprobe]);
            assert_eq!(of(Backend::Kprobe, false), [Way::Kprobe]);
            assert_eq!(of(Backend::Tracepoint, true), []);
            assert_eq!(of(Backend::Fentry, true), []);
        }
    }
}
