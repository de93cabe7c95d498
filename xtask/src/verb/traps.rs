//! `traps`: what is in the way on some hosts, tried in virtual machines.

use crate::{
    install::{self, Purpose},
    misuse,
    tally::Tally,
    traps,
    verb::vm,
};
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let name = match arguments {
        [] => None,
        [name] => Some(*name),
        _ => return Err(misuse("traps takes the name of one, or nothing")),
    };
    if let Some(name) = name
        && !traps::names().any(|other| other == name)
    {
        return Err(misuse(&format!(
            "there is no trap {name:?}, only {}",
            traps::names().collect::<Vec<_>>().join(", ")
        )));
    }
    install::ensure(Purpose::Booting)?;
    let mut tally = Tally::default();
    traps::run(&vm::build()?, name, &mut tally)?;
    Ok(tally.finish())
}
