//! The cgroups that are there.

use anyhow::{Context, Result};
use procfs::process::{MountInfo, Process};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Where the hierarchy of version 2 is mounted.
pub struct Hierarchy {
    mount: PathBuf,
    /// The part of it that this mount shows, `/` as a rule.
    root: PathBuf,
}

impl Hierarchy {
    /// Finds it; none on a host that has mounted the older hierarchies alone.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn find() -> Result<Option<Self>> {
        let mounts = mounts()?;
        let found = mounts.into_iter().find(|mount| mount.fs_type == "cgroup2");
        Ok(found.map(|mount| Self { mount: mount.mount_point, root: mount.root.into() }))
    }

    /// Every cgroup: the inode number of its directory, and its path. Those that go meanwhile are left out.
    pub fn walk(&self) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.mount.clone()];
        while let Some(directory) = open.pop() {
            let Ok(metadata) = fs::symlink_metadata(&directory) else { continue };
            found.push((metadata.ino(), self.path_of(&directory)));
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(inner.map(|entry| entry.path()));
        }
        found
    }

    fn path_of(&self, directory: &Path) -> Vec<u8> {
        match directory.strip_prefix(&self.mount) {
            Ok(below) if below.as_os_str().is_empty() => self.root.as_os_str().as_bytes().to_vec(),
            Ok(below) => self.root.join(below).as_os_str().as_bytes().to_vec(),
            Err(_) => Vec::new(),
        }
    }
}

/// Whether the older hierarchies are mounted, too, which a container may be in alone.
///
/// # Errors
/// When /proc cannot be read.
pub fn has_legacy() -> Result<bool> {
    Ok(mounts()?.iter().any(|mount| mount.fs_type == "cgroup"))
}

fn mounts() -> Result<Vec<MountInfo>> {
    let mounts = Process::myself().and_then(|process| process.mountinfo()).context("reading the mounts")?;
    Ok(mounts.0)
}

#[cfg(test)]
mod tests {
    use super::Hierarchy;
    use std::path::{Path, PathBuf};

    #[test]
    fn a_path_begins_at_the_root_of_the_hierarchy() {
        let path = |root: &str, directory: &str| {
            let hierarchy = Hierarchy { mount: PathBuf::from("/sys/fs/cgroup"), root: root.into() };
            String::from_utf8(hierarchy.path_of(Path::new(directory))).expect("text")
        };
        assert_eq!(path("/", "/sys/fs/cgroup"), "/");
        assert_eq!(path("/", "/sys/fs/cgroup/a.slice/b.scope"), "/a.slice/b.scope");
        assert_eq!(path("/box", "/sys/fs/cgroup"), "/box");
        assert_eq!(path("/box", "/sys/fs/cgroup/inner"), "/box/inner");
    }

    #[test]
    fn the_root_is_found_where_there_is_one() {
        let Some(hierarchy) = Hierarchy::find().expect("the mounts") else {
            println!("SKIP the_root_is_found_where_there_is_one: no cgroup of version 2 is mounted here");
            return;
        };
        let all = hierarchy.walk();
        assert!(all.iter().any(|(id, path)| *id != 0 && path.starts_with(b"/")), "{all:?}");
    }
}
