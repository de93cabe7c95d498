//! `build`: builds tcptrace; its build script builds the kernel programs.

use crate::{finish, misuse};
use anyhow::Result;
use std::process::{Command, ExitCode};
use xtask::{compiler, place};

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    match arguments {
        [] => finish(&mut cargo_build()),
        ["--release"] => finish(cargo_build().arg("--release")),
        _ => Err(misuse("build takes --release or nothing")),
    }
}

/// `cargo build` of the daemon, for debugging.
pub(crate) fn cargo_build() -> Command {
    cargo(&["build", "--package", "tracer"])
}

/// The caller's cargo, in this workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(compiler::callers_cargo());
    cargo.args(arguments).current_dir(place::workspace());
    cargo
}
