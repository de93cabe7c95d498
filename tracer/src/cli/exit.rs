//! How `tcptrace` ends.

use std::process::ExitCode;

/// What an exit code says to a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: something failed while running.
    Failure,
    /// 2: the command line is wrong.
    Usage,
    /// 3: not enough rights, or `doctor` found something missing.
    Degraded,
    /// 4: this kernel cannot do it.
    Impossible,
    /// 5: a finding as severe as `--fail-on` says.
    Found,
    /// The exit code of the command after `--`.
    Child(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Degraded => 3,
            Exit::Impossible => 4,
            Exit::Found => 5,
            Exit::Child(code) => code,
        })
    }
}
