//! `run`: from a fresh checkout to a running tcptrace.

use crate::{
    install::{self, Purpose},
    privilege,
    verb::build::cargo_build,
};
use anyhow::{Context as _, Result, bail};
use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};
use xtask::place;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let arguments = arguments.strip_prefix(&["--"]).unwrap_or(arguments);
    install::ensure(Purpose::Building)?;
    if !install::status(cargo_build().arg("--release"))?.success() {
        bail!("tcptrace does not build");
    }
    let program = place::own_target().join("release/tcptrace");
    if !privilege::is_root() {
        let line = privilege::as_root(&format!("{} {}", program.display(), arguments.join(" ")));
        eprintln!(
            "xtask: this is not root, which loading programs into the kernel needs: {}",
            line.trim_end()
        );
    }
    // Only returns when it fails: tcptrace takes the place of this process, signals and exit code included.
    Err(Command::new(&program).args(arguments).exec())
        .with_context(|| format!("could not run {}", program.display()))
}
