//! Which bpf-linker can read what the compiler writes: it must hold the same LLVM or a newer one.

use crate::{
    compiler::{self, Compiler},
    nested, place,
};
use anyhow::{Result, bail};
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// The release that `cargo xtask setup` builds, and the oldest one that is taken from `PATH`.
pub const RELEASE: &str = "0.13.0";

/// The LLVM versions that release can be built for.
const LLVM: RangeInclusive<u32> = 21..=23;

/// The feature of bpf-linker that makes it use this version of LLVM.
///
/// # Errors
/// When there is none.
pub fn feature(llvm: u32) -> Result<String> {
    if !LLVM.contains(&llvm) {
        let (oldest, newest) = LLVM.into_inner();
        bail!(
            "bpf-linker {RELEASE} works with LLVM {oldest} to {newest}, the compiler for BPF has LLVM {llvm}"
        );
    }
    Ok(format!("llvm-{llvm}"))
}

/// Where `cargo xtask setup` puts the one it builds.
pub fn own() -> PathBuf {
    place::tools().join("bin/bpf-linker")
}

/// Finds a linker for this compiler: one in `PATH`, or the one that setup has built.
pub fn find(compiler: &Compiler) -> Option<PathBuf> {
    place::in_path("bpf-linker").chain([own()]).find(|linker| {
        version(linker).is_some_and(|version| {
            let linked = shared_llvm(linker).and_then(|library| llvm_in(&library.to_string_lossy()));
            fits(version, linked, compiler.llvm)
        })
    })
}

/// The LLVM library that the dynamic linker would load for this program.
pub fn shared_llvm(program: &Path) -> Option<PathBuf> {
    let listing = nested::command(Path::new("ldd")).arg(program).output().ok()?;
    llvm_of(&String::from_utf8_lossy(&listing.stdout))
}

/// None when it cannot even start, as after an upgrade of LLVM.
fn version(linker: &Path) -> Option<(u32, u32)> {
    let output = nested::command(linker).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| compiler::release(text.trim().strip_prefix("bpf-linker ")?))?
}

/// `linked` is absent for a linker that carries LLVM inside: those have the newest of their time.
fn fits(version: (u32, u32), linked: Option<u32>, wanted: u32) -> bool {
    let oldest = compiler::release(RELEASE).expect("a constant with three numbers");
    version >= oldest && linked.is_none_or(|llvm| llvm >= wanted)
}

/// The path of LLVM in the answer of `ldd`.
fn llvm_of(listing: &str) -> Option<PathBuf> {
    listing.lines().find_map(|line| {
        let (name, path) = line.trim().split_once(" => ")?;
        let path = path.rsplit_once(" (0x").map_or(path, |(path, _)| path);
        (name.starts_with("libLLVM") && path.starts_with('/')).then(|| PathBuf::from(path))
    })
}

/// The major version in the name of an LLVM library: Debian, rustup and older LLVMs each spell it differently.
fn llvm_in(path: &str) -> Option<u32> {
    let rest = path.rsplit('/').next()?.strip_prefix("libLLVM")?;
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_follows_the_compiler() {
        assert_eq!(feature(22).ok().as_deref(), Some("llvm-22"));
        assert_eq!(
            feature(24).expect_err("too new").to_string(),
            "bpf-linker 0.13.0 works with LLVM 21 to 23, the compiler for BPF has LLVM 24"
        );
        assert!(feature(20).is_err());
    }

    #[test]
    fn llvm_is_found_among_the_libraries() {
        let debian = "\tlinux-vdso.so.1 (0x00007ff0247c1000)\n\
                      \tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x00007ff015a00000)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007ff0247c3000)\n";
        assert_eq!(llvm_of(debian), Some("/lib/x86_64-linux-gnu/libLLVM.so.22.1".into()));
        assert_eq!(llvm_of("\tlibLLVM.so.22.1 => not found\n"), None);
        assert_eq!(llvm_of("\tnot a dynamic executable\n"), None);
    }

    #[test]
    fn every_spelling_of_the_library_is_read() {
        for name in [
            "libLLVM.so.22.1",
            "/a/libLLVM.so.22.1-rust-1.97.0-nightly",
            "libLLVM-22.so.1",
            "libLLVM-22-rust.so",
        ] {
            assert_eq!(llvm_in(name), Some(22), "{name}");
        }
        assert_eq!(llvm_in("libLLVM.so"), None);
    }

    #[test]
    fn a_linker_with_an_older_llvm_does_not_fit() {
        assert!(fits((0, 13), Some(22), 22));
        assert!(fits((0, 14), Some(23), 22));
        assert!(fits((0, 13), None, 22));
        assert!(!fits((0, 13), Some(21), 22));
        assert!(!fits((0, 12), Some(22), 22));
    }
}
