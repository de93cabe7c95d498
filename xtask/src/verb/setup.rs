//! `setup`: installs what is missing, after saying what; a second run does nothing.

use crate::{
    bench::part::PARTS,
    install::{self, Purpose},
    misuse,
};
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let purposes = match arguments {
        [] => vec![Purpose::Testing],
        ["--bench"] => [Purpose::Building].into_iter().chain(PARTS.iter().map(|part| part.purpose)).collect(),
        _ => return Err(misuse("setup takes --bench or nothing")),
    };
    let mut done = false;
    for purpose in purposes {
        done |= install::ensure(purpose)?;
    }
    println!(
        "setup: {}",
        if done { "everything is in place now" } else { "nothing to do, everything is in place" }
    );
    Ok(ExitCode::SUCCESS)
}
