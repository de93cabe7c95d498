//! bpf-linker, built against the LLVM that the BPF compiler itself uses: no LLVM has to be installed.

use super::step;
use anyhow::{Context as _, Result, bail};
use std::{fs, io, os::unix::fs::symlink, path::Path};
use xtask::{
    compiler::{self, Compiler},
    linker, nested, place,
};

/// Its line in the announcement.
pub(crate) const WHAT: &str = "bpf-linker, built into target/tools in about a minute";

/// Builds it with the caller's toolchain; cargo's progress is shown.
pub(crate) fn build(compiler: &Compiler) -> Result<()> {
    let feature = linker::feature(compiler.llvm)?;
    let llvm = linker::shared_llvm(&compiler.rustc)
        .with_context(|| format!("{} does not load LLVM as a shared library", compiler.rustc.display()))?;
    let prefix = place::tools().join("llvm");
    link(&llvm, &prefix.join("lib"))
        .with_context(|| format!("could not link LLVM into {}", prefix.display()))?;
    let mut cargo = nested::command(&compiler::callers_cargo());
    cargo
        .args(["install", "bpf-linker", "--locked", "--force", "--version", linker::RELEASE])
        .args(["--no-default-features", "--features", &feature])
        .arg("--root")
        .arg(place::tools())
        .env("LLVM_PREFIX", &prefix)
        // Or cargo advises to add target/tools/bin, which nobody has to.
        .env("PATH", super::path())
        // The caller's toolchain, which nested::command would have forgotten.
        .envs(std::env::var_os("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    step("cargo install bpf-linker", &mut cargo)?;
    if linker::find(compiler).is_none() {
        bail!("bpf-linker was built, but {} does not start or has another LLVM", linker::own().display());
    }
    Ok(())
}

/// A prefix as LLVM's own installation has it: the name that is linked against, and the name that is loaded.
fn link(llvm: &Path, lib: &Path) -> io::Result<()> {
    fs::create_dir_all(lib)?;
    let own_name = llvm.file_name().unwrap_or_default();
    for name in ["libLLVM.so".as_ref(), own_name] {
        let link = lib.join(name);
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(llvm, link)?;
    }
    Ok(())
}
