//! By which means the kernel's events are taken, as a user asks for it.

/// The choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// The best for each hook: its tracepoint, or functions where that does not show all.
    #[default]
    Auto,
    /// Tracepoints.
    Tracepoint,
    /// Trampolines at functions (fentry, fexit) where a hook has them.
    Fentry,
    /// Kernel probes where a hook has functions.
    Kprobe,
}

impl Backend {
    /// Every choice.
    pub const ALL: &[Self] = &[Self::Auto, Self::Tracepoint, Self::Fentry, Self::Kprobe];

    /// Its name, as it is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tracepoint => "tracepoint",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
        }
    }
}
