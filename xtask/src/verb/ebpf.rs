//! `ebpf`: builds the kernel programs alone.

use crate::misuse;
use anyhow::Result;
use std::{env::consts::ARCH, path::PathBuf, process::ExitCode};
use xtask::{object::Tools, place};

/// Architectures whose kernels the programs compile for. They are run on the first alone; that they compile for others
/// keeps registers and numbers of one from creeping in.
pub(crate) const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let architecture = match arguments {
        [] => ARCH,
        [one] if ARCHITECTURES.contains(one) => one,
        _ => {
            let known = ARCHITECTURES.join(" or ");
            return Err(misuse(&format!("ebpf takes nothing, or an architecture: {known}")));
        }
    };
    println!("{}", build(architecture)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the object; one for another machine goes elsewhere, so that it does not take the place of this one's.
pub(crate) fn build(architecture: &str) -> Result<PathBuf> {
    let own = place::own_target();
    let target = if architecture == ARCH { own } else { own.join(architecture) };
    Tools::find()?.build(&target, architecture)
}
