//! Programs of Debian packages that building virtual machines needs, and the files of a kernel.

use super::{apt::Apt, status};
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use xtask::place;

/// A package that is installed for one of its programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is used of it.
    pub(crate) program: &'static str,
}

/// Those of which the program is missing.
pub(crate) fn missing(packages: &[Package]) -> Vec<&'static str> {
    let is_missing = |package: &&Package| place::in_path(package.program).next().is_none();
    packages.iter().filter(is_missing).map(|package| package.name).collect()
}

/// Installs what is missing of them.
pub(crate) fn install(packages: &[Package], apt: &mut Apt) -> Result<()> {
    match missing(packages).as_slice() {
        [] => Ok(()),
        missing => apt.install(missing),
    }
}

/// Decompresses every module below a folder.
pub(super) fn decompress(folder: &Path) -> Result<()> {
    for (ending, program) in [("xz", "xz"), ("zst", "zstd")] {
        let files = files(folder, ending)?;
        if files.is_empty() {
            continue;
        }
        let mut command = Command::new(program);
        command.arg("--decompress").args(files);
        if program == "zstd" {
            command.args(["--rm", "--quiet"]);
        }
        if !status(&mut command)?.success() {
            bail!("could not decompress the modules in {}", folder.display());
        }
    }
    Ok(())
}

/// Writes which module needs which others.
pub(super) fn list_modules(root: &Path, release: &str) -> Result<()> {
    // Since the merge of /usr some packages have the folder there alone.
    let base = if root.join("lib/modules").is_dir() { root.to_owned() } else { root.join("usr") };
    let mut depmod = Command::new("busybox");
    depmod.args(["depmod", "-b"]).arg(base).arg(release).stdin(Stdio::null());
    if !status(&mut depmod)?.success() {
        bail!("could not list the modules of {release}");
    }
    Ok(())
}

/// Every file below a folder whose name ends so.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
        for entry in entries {
            let entry = entry.context("could not read a folder of modules")?;
            let kind = entry.file_type().context("could not read what a file is")?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.path().extension() == Some(OsStr::new(ending)) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}
