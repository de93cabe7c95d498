//! How many files this process may have open: a host may have more namespaces than the usual limit allows.

use nix::{
    libc::rlim_t,
    sys::resource::{Resource, getrlimit, setrlimit},
};

/// The limit as it was, and as it is now.
#[derive(Clone, Copy)]
pub(super) struct Files {
    before: rlim_t,
    most: rlim_t,
}

impl Files {
    /// Allows as many as this process may allow itself; none when that fails, and then nothing has changed.
    pub(super) fn allow() -> Option<Self> {
        let (before, most) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let files = Self { before, most };
        files.set(most).then_some(files)
    }

    /// Does something under the limit as it was: a child inherits it.
    pub(super) fn as_before<T>(self, work: impl FnOnce() -> T) -> T {
        self.set(self.before);
        let result = work();
        self.set(self.most);
        result
    }

    fn set(self, soft: rlim_t) -> bool {
        setrlimit(Resource::RLIMIT_NOFILE, soft, self.most).is_ok()
    }
}
