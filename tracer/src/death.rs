//! How a process ended.

use tracer_common::record::exit::OUT_OF_MEMORY;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By this signal's number; see [`Death::name`].
    Signal(i32),
    /// By the kernel, because memory was short.
    OutOfMemory,
    /// By exit() with this status.
    Status(i32),
}

impl Death {
    /// The death an exit code tells: the low seven bits are a signal, the next byte a status.
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c#L1029-L1033>
    pub const fn of(exit_code: i32) -> Self {
        if exit_code & OUT_OF_MEMORY != 0 {
            return Self::OutOfMemory;
        }
        match exit_code & 0x7f {
            0 => Self::Status((exit_code >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }

    /// `SIGKILL`, `exit 1`.
    pub fn name(self) -> String {
        match self {
            Self::Signal(number) => nix::sys::signal::Signal::try_from(number)
                .map_or_else(|_| "a real-time signal".to_owned(), |signal| signal.as_str().to_owned()),
            Self::OutOfMemory => "SIGKILL (out of memory)".to_owned(),
            Self::Status(status) => format!("exit {status}"),
        }
    }
}
