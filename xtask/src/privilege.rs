//! Who runs this, and how they become root.

use std::{fs, os::unix::fs::MetadataExt as _};
use xtask::place;

/// Whether the effective user is root: `/proc/self` belongs to that user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command line as this user has to type it to run it as root.
pub(crate) fn as_root(command: &str) -> String {
    if is_root() || place::in_path("sudo").next().is_none() {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}
