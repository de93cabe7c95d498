//! Cgroups as a user names them.

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tracer_common::settings;

/// Where the hierarchy of version 2 is mounted, alone or beside the older ones.
const MOUNTS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A cgroup of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of its directory.
    pub id: u64,
    /// How far it is below the root.
    pub level: u32,
}

impl Cgroup {
    /// As the kernel programs want it.
    pub fn setting(&self) -> settings::Cgroup {
        settings::Cgroup { id: self.id, level: self.level, reserved: 0 }
    }
}

/// Reads a directory of the hierarchy, or a path as `/proc/PID/cgroup` shows it.
pub(in crate::cli) fn cgroup(text: &str) -> Result<Cgroup, String> {
    let mount = MOUNTS.iter().map(Path::new).find(|mount| unified(mount));
    let inside = mount.map(|mount| mount.join(text.trim_start_matches('/')));
    let given = PathBuf::from(text);
    match [Some(given.clone()), inside].into_iter().flatten().find(|path| path.is_dir() && unified(path)) {
        Some(path) => place(&path),
        None => Err(refusal(&given, mount)),
    }
}

fn refusal(given: &Path, mount: Option<&Path>) -> String {
    let Some(mount) = mount.map(Path::display) else {
        return "no cgroup of version 2 is mounted here, and sockets know no other: mount one by \
                'mount -t cgroup2 none DIR'"
            .to_owned();
    };
    if given.is_dir() && given.starts_with("/sys/fs/cgroup") {
        format!(
            "it is a cgroup of version 1, which sockets do not know; give one below '{mount}', \
             as the line of /proc/PID/cgroup that begins with '0::' names it"
        )
    } else {
        format!(
            "there is no such cgroup of version 2 (they are below '{mount}'); \
             the line of /proc/PID/cgroup that begins with '0::' names that of a process"
        )
    }
}

/// Whether a path is in the hierarchy of version 2.
fn unified(path: &Path) -> bool {
    statfs(path).is_ok_and(|of| of.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

fn place(path: &Path) -> Result<Cgroup, String> {
    let say = |error: std::io::Error| error.to_string();
    let path = path.canonicalize().map_err(say)?;
    let id = fs::metadata(&path).map_err(say)?.ino();
    let above: Vec<&Path> = path.ancestors().skip(1).take_while(|above| unified(above)).collect();
    // The root alone has no events.
    if above.last().unwrap_or(&path.as_path()).join("cgroup.events").exists() {
        return Err("only a part of the hierarchy is to be seen here; use the host's cgroup namespace and \
                    its mount"
            .to_owned());
    }
    Ok(Cgroup { id, level: u32::try_from(above.len()).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::{Cgroup, MOUNTS, cgroup, unified};
    use std::{os::unix::fs::MetadataExt, path::Path};

    #[test]
    fn the_root_is_at_level_0() {
        let Some(mount) = MOUNTS.iter().find(|mount| unified(Path::new(mount))) else {
            println!("SKIP the_root_is_at_level_0: no cgroup of version 2 is mounted here");
            return;
        };
        let id = std::fs::metadata(mount).expect("it is there").ino();
        assert_eq!(cgroup(mount), Ok(Cgroup { id, level: 0 }));
        assert_eq!(cgroup("/"), Ok(Cgroup { id, level: 0 }));
    }

    #[test]
    fn what_is_none_is_refused_with_what_to_do() {
        for text in ["/no/such/cgroup", "", "/etc", "/proc/self"] {
            if text.is_empty() {
                continue;
            }
            let error = cgroup(text).expect_err(text);
            assert!(error.contains("/proc/PID/cgroup") || error.contains("mount"), "{text}: {error}");
        }
    }
}
