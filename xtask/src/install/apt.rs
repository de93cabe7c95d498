//! Debian's packages, through apt-get, without a question asked.

use super::{status, step};
use crate::privilege;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use xtask::{compiler, place};

/// apt-get; remembers whether this run has brought the package lists up to date.
#[derive(Debug, Default)]
pub(crate) struct Apt {
    updated: bool,
}

impl Apt {
    /// Whether this machine has it.
    pub(crate) fn is_here() -> bool {
        ["apt-get", "apt-cache", "dpkg"].iter().all(|program| place::in_path(program).next().is_some())
    }

    /// Makes the package lists current, once.
    pub(crate) fn update(&mut self) -> Result<()> {
        if !self.updated {
            step("apt-get update", apt_get().arg("update"))?;
            self.updated = true;
        }
        Ok(())
    }

    /// Installs packages, without those they merely recommend.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        if !privilege::is_root() {
            let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
            bail!(
                "installing packages needs root. Run\n  {}\n  {}\nand then this again",
                privilege::as_root("apt-get update"),
                privilege::as_root(&install)
            );
        }
        self.update()?;
        step("apt-get install", apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages))
    }

    /// Unpacks a package, and those of its dependencies that are not installed, into a directory: nothing is
    /// installed, configured or started.
    pub(crate) fn unpack(&mut self, package: &str, into: &Path) -> Result<()> {
        if privilege::is_root() {
            self.update()?;
        }
        let packages = missing_for(package)?;
        let debs = into.join("deb");
        fs::create_dir_all(&debs).with_context(|| format!("could not create {}", debs.display()))?;
        // The download directory belongs to this user, not to apt's own.
        let as_self = ["-o", "APT::Sandbox::User=root", "download"];
        step("apt-get download", apt_get().args(as_self).args(packages).current_dir(&debs))?;
        extract(&debs, into)
    }
}

/// Unpacks every package in a folder into another, and removes the folder.
pub(super) fn extract(debs: &Path, into: &Path) -> Result<()> {
    for deb in fs::read_dir(debs).with_context(|| format!("could not read {}", debs.display()))? {
        let deb = deb.context("could not read a downloaded package")?.path();
        let mut dpkg = Command::new("dpkg");
        if !status(dpkg.arg("--extract").arg(&deb).arg(into))?.success() {
            bail!("could not unpack {}", deb.display());
        }
    }
    fs::remove_dir_all(debs).with_context(|| format!("could not remove {}", debs.display()))
}

/// Major and minor number of the upstream version that apt-get would install.
pub(crate) fn candidate(package: &str) -> Option<(u32, u32)> {
    let policy = Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output().ok()?;
    candidate_in(&String::from_utf8_lossy(&policy.stdout))
}

pub(super) fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get
        .args(["-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

/// The package itself and what it needs but the machine lacks.
fn missing_for(package: &str) -> Result<Vec<String>> {
    let output = apt_get()
        .args(["install", "--simulate", "--no-install-recommends", package])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("could not run apt-get")?;
    let packages = to_install(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || packages.is_empty() {
        bail!(
            "apt-get does not know the package {package}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(packages)
}

fn to_install(simulation: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("Inst ")?.split(' ').next().map(str::to_owned);
    simulation.lines().filter_map(name).collect()
}

fn candidate_in(policy: &str) -> Option<(u32, u32)> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    compiler::release(version.split_once(':').map_or(version, |(_epoch, version)| version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_without_its_epoch() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(candidate_in(policy), Some((1, 96)));
        assert_eq!(candidate_in("rustc-web:\n  Installed: (none)\n  Candidate: 1:2.3-4\n"), Some((2, 3)));
        assert_eq!(candidate_in("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }

    #[test]
    fn a_simulation_tells_what_is_missing() {
        let simulation = "Reading package lists...\nThe following NEW packages will be installed:\n  nginx nginx-common\n\
                          Inst nginx-common (1.22.1-9 Debian:12/oldstable [all])\n\
                          Inst nginx (1.22.1-9 Debian:12/oldstable [amd64])\n\
                          Conf nginx (1.22.1-9 Debian:12/oldstable [amd64])\n";
        assert_eq!(to_install(simulation), ["nginx-common", "nginx"]);
    }
}
