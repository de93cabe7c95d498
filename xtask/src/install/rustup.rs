//! The components of the caller's toolchain that the checks need; rustup's default profile has them.

use anyhow::{Result, bail};
use std::process::{Command, Stdio};
use xtask::compiler;

/// Fails with what to type when rustfmt or clippy is missing.
pub(crate) fn require_components() -> Result<()> {
    let missing: Vec<_> =
        [("fmt", "rustfmt"), ("clippy", "clippy")].into_iter().filter(|(verb, _)| !answers(verb)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(_, component)| *component).collect();
    bail!("this toolchain lacks {}. Run\n  rustup component add {}", names.join(" and "), names.join(" "));
}

fn answers(verb: &str) -> bool {
    let mut cargo = Command::new(compiler::callers_cargo());
    cargo.args([verb, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}
