//! What `tracer/build.rs` does: the object of the kernel programs goes into the daemon.

use crate::{
    compiler,
    object::{self, Tools},
    place,
};
use anyhow::{Context as _, Result};
use std::{env, fs, path::PathBuf, process::ExitCode};

/// Builds the object and puts it where
/// `include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"))` finds it; tells cargo when to do so again.
pub fn object() -> ExitCode {
    println!("cargo::rerun-if-env-changed={}", compiler::OVERRIDE);
    for source in object::SOURCES {
        println!("cargo::rerun-if-changed={}", place::workspace().join(source).display());
    }
    match Tools::find().map(|tools| embed(&tools)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // What rustc had to say came before this; cargo shows it when a build script fails.
        Ok(Err(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        // Cargo shows this sentence alone.
        Err(error) => {
            println!("cargo::error={error:#}");
            ExitCode::SUCCESS
        }
    }
}

fn embed(tools: &Tools) -> Result<()> {
    for tool in [&tools.compiler.rustc, &tools.linker] {
        println!("cargo::rerun-if-changed={}", tool.display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").context("cargo sets CARGO_CFG_TARGET_ARCH")?;
    let object = tools.build(place::target_around(&out).unwrap_or(&out), &architecture)?;
    fs::copy(object, out.join(object::NAME)).context("could not copy the object of the kernel programs")?;
    Ok(())
}
