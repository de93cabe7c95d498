//! `vm`: a command in a virtual machine with a kernel of another release.

use crate::{
    install::{self, Purpose, kernel::Kernel},
    misuse,
    verb::build::cargo_build,
    vm::{Machine, Run},
};
use anyhow::{Result, bail};
use std::{process::ExitCode, time::Duration};
use xtask::place;

/// A command that hangs is ended after that.
const LIMIT: Duration = Duration::from_mins(10);

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let [name, command @ ..] = arguments else {
        return Err(misuse("vm takes the name of a kernel and a command for its shell"));
    };
    let command = if command.is_empty() { "tcptrace doctor".to_owned() } else { command.join(" ") };
    let kernel = Kernel::named(name)?;
    install::ensure(Purpose::Booting)?;
    let machine = Machine::new(kernel, kernel.fetch()?, &build()?)?;
    let run = Run { name: "vm", command: &command, parameters: "", limit: LIMIT, processors: 2 };
    let ran = machine.run(run, |line| println!("{line}"))?;
    let console = std::fs::read_to_string(&ran.console).unwrap_or_default();
    eprint!("{console}");
    match ran.code {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("the machine ended before its command did, or took more than {} s", LIMIT.as_secs()),
    }
}

/// tcptrace, optimised: an emulated processor is slow enough.
pub(crate) fn build() -> Result<std::path::PathBuf> {
    if !install::status(cargo_build().args(["--profile", "emulated"]))?.success() {
        bail!("tcptrace does not build");
    }
    Ok(place::own_target().join("emulated/tcptrace"))
}
