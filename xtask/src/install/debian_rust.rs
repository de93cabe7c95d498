//! Debian's web-browser toolchain: the one packaged Rust that has a core library for BPF.

use super::apt::{self, Apt};
use anyhow::{Context as _, Result, bail};
use xtask::compiler::{self, Compiler};

/// Its line in the announcement.
pub(crate) const WHAT: &str = "a Rust compiler with a core library for BPF, as Debian packages: \
    rustc-web, libstd-rust-web-dev-bpf (about 600 MB)";

const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];

/// The other way, for every machine.
const NIGHTLY: &str = "Install a nightly with sources instead,\n  \
    rustup toolchain install nightly --profile minimal --component rust-src\nand then run this again";

/// Installs the packages and returns the compiler.
pub(crate) fn install(apt: &mut Apt) -> Result<Compiler> {
    if !Apt::is_here() {
        bail!("packages can only be installed on Debian. {NIGHTLY}");
    }
    if crate::privilege::is_root() {
        apt.update()?;
        let new_enough =
            |package| apt::candidate(package).is_some_and(|version| version >= compiler::minimum());
        if !PACKAGES.iter().all(|package| new_enough(package)) {
            let (major, minor) = compiler::minimum();
            bail!(
                "this release of Debian has no {} of version {major}.{minor}. {NIGHTLY}",
                PACKAGES.join(" or ")
            );
        }
    }
    apt.install(PACKAGES)?;
    compiler::find()?.context("the packages were installed, but no rustc in PATH has a core library for BPF")
}
