//! `ebpf`: builds the kernel programs alone.

use crate::misuse;
use anyhow::Result;
use std::{env::consts::ARCH, process::ExitCode};
use xtask::{object::Tools, place};

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let [] = arguments else { return Err(misuse("ebpf takes no arguments")) };
    let object = Tools::find()?.build(&place::own_target(), ARCH)?;
    println!("{}", object.display());
    Ok(ExitCode::SUCCESS)
}
