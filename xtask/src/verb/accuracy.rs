//! `accuracy`: how often tcptrace is right; the crate of that name measures it.

use crate::{
    bench::machine,
    finish,
    install::{self, Purpose, server},
    privilege,
    verb::build::cargo_build,
};
use anyhow::{Result, bail};
use std::{
    env,
    process::{Command, ExitCode},
};
use xtask::place;

/// Where its table is kept.
const DOCUMENT: &str = "tracer/docs/accuracy.md";

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let asks = arguments.iter().any(|argument| ["--help", "-h"].contains(argument));
    if !asks && !privilege::is_root() {
        bail!(
            "this is not root, which loading programs into the kernel needs: {}",
            privilege::as_root(&["cargo xtask accuracy", &arguments.join(" ")].join(" ")).trim_end()
        );
    }
    install::ensure(Purpose::Judging)?;
    finish(command()?.args(arguments))
}

/// The crate of that name, built, with what it has to know of this machine and this checkout.
pub(crate) fn command() -> Result<Command> {
    if !install::status(cargo_build().args(["--package", "accuracy", "--release"]))?.success() {
        bail!("tcptrace does not build");
    }
    let built = place::own_target().join("release");
    let path = install::path();
    let folders = server::postgres_folder().into_iter().chain(env::split_paths(&path));
    let mut command = Command::new(built.join("accuracy"));
    command
        .arg("--program")
        .arg(built.join("tcptrace"))
        .arg("--document")
        .arg(place::workspace().join(DOCUMENT))
        .args(["--machine", &machine::describe()])
        .env("PATH", env::join_paths(folders)?);
    Ok(command)
}
