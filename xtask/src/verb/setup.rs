//! `setup`: installs what is missing, after saying what; a second run does nothing.

use crate::{
    install::{self, Purpose},
    misuse,
};
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let [] = arguments else { return Err(misuse("setup takes no arguments")) };
    let done = install::ensure(Purpose::Testing)?;
    println!(
        "setup: {}",
        if done { "everything is in place now" } else { "nothing to do, everything is in place" }
    );
    Ok(ExitCode::SUCCESS)
}
