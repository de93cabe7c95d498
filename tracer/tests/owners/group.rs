//! A cgroup of version 2 of this test's own.

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::{fs, path::PathBuf};

/// A cgroup; it goes with this value.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes one below the root; none where that cannot be.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let unified =
            |mount: &&str| statfs(*mount).is_ok_and(|of| of.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(unified)?;
        let path = PathBuf::from(mount).join(name);
        fs::create_dir(&path).ok().map(|()| Self(path))
    }

    /// Makes one inside.
    pub(crate) fn inner(&self, name: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir(&path).expect("there is the outer one");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a plain name")
    }

    /// Moves a process into it.
    pub(crate) fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("root may");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that cannot go has a process in it, and a test has failed already.
        let _ = fs::remove_dir(&self.0);
    }
}
