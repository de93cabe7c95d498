//! `traps`: what is in the way on some hosts, tried in virtual machines.

use crate::{
    install::{self, Purpose},
    misuse,
    tally::Tally,
    traps,
    verb::vm,
    vm::machines,
};
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let name = match arguments {
        [] => None,
        [name] => Some(*name),
        _ => return Err(misuse("traps takes the name of one, or nothing")),
    };
    let kernels = name.map_or(Ok(&[][..]), traps::kernels)?;
    install::ensure(Purpose::Booting)?;
    let mut tally = Tally::default();
    traps::run(&machines(kernels, &vm::build()?, &mut tally)?, name, &mut tally)?;
    Ok(tally.finish())
}
