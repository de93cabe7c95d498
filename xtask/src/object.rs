//! Builds the kernel programs into one BPF object.

use crate::{
    compiler::{self, Compiler, Core},
    linker, nested, place,
};
use anyhow::{Context as _, Result, bail};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The crate, and so the object, of the kernel programs.
pub const NAME: &str = "tracer-ebpf";

/// What the object is made from, relative to the workspace.
pub const SOURCES: &[&str] = &[NAME, "tracer-common", "Cargo.toml", "Cargo.lock"];

/// What the object is made with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Compiles the crates.
    pub compiler: Compiler,
    /// Links them: the bpf-linker that goes with the compiler.
    pub linker: PathBuf,
}

impl Tools {
    /// Finds both.
    ///
    /// # Errors
    /// When one is not installed; the message says how to get it.
    pub fn find() -> Result<Self> {
        let Some(compiler) = compiler::find()? else {
            bail!(
                "no Rust compiler here has a core library for BPF: run `cargo xtask setup`, which installs one"
            );
        };
        let Some(linker) = linker::find(&compiler) else {
            bail!(
                "no bpf-linker here reads what {} writes (LLVM {}): run `cargo xtask setup`, which builds one",
                compiler.rustc.display(),
                compiler.llvm
            );
        };
        Ok(Self { compiler, linker })
    }

    /// Builds the object below `target`, for kernels of this architecture, named as in `CARGO_CFG_TARGET_ARCH`.
    ///
    /// Returns the path of an ELF file with `.BTF` and `.BTF.ext`. What cargo says goes to standard error. When
    /// nothing has changed this takes well under a second.
    ///
    /// # Errors
    /// When the programs do not build.
    pub fn build(&self, target: &Path, architecture: &str) -> Result<PathBuf> {
        let Self { compiler, linker } = self;
        // Its own directory: the cargo around this process may hold the lock of the other one.
        let target = target.join("ebpf");
        let mut cargo = nested::command(&compiler.cargo);
        cargo
            .args(["build", "--release", "--locked", "--package", NAME, "--target", compiler::TARGET])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(place::workspace())
            .env("RUSTC", &compiler.rustc)
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(architecture).join("\x1f"))
            .env("RUSTC_BOOTSTRAP", unlocked(compiler.core))
            .stdout(io::stderr());
        if compiler.core == Core::Source {
            cargo.args(["-Z", "build-std=core"]);
        }
        let status = cargo.status().with_context(|| format!("could not run {}", compiler.cargo.display()))?;
        if !status.success() {
            bail!("the kernel programs do not build with {}", compiler.rustc.display());
        }
        Ok(target.join(compiler::TARGET).join("release").join(NAME))
    }
}

/// The flags of every crate of the object. `.BTF` is made from the debug information, so none may be stripped.
fn flags(architecture: &str) -> [String; 5] {
    [
        format!("--cfg=bpf_target_arch=\"{architecture}\""),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // A program that calls a function of its own takes Linux before 6.2 many times the steps to verify.
        format!("-Clink-arg=--llvm-args=-inline-threshold={INLINED}"),
        // With it, memory is cleared by a function.
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
    ]
}

/// No function is so large that its few callers must call it: in LLVM's units, about five for an instruction.
const INLINED: u32 = 1_000_000;

/// Who may use unstable features: aya-ebpf alone, for its inline assembly, or also cargo, for `-Z build-std`.
fn unlocked(core: Core) -> &'static str {
    match core {
        Core::Prebuilt => "aya_ebpf,tracer_ebpf",
        Core::Source => "1",
    }
}
