//! Which Rust compiler can build the kernel programs: it needs a `core` for BPF, which few have.

use crate::{nested, place};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Names a rustc that is to be used whatever else there is.
pub const OVERRIDE: &str = "TCPTRACE_BPF_RUSTC";

/// The target of the kernel programs: every supported machine is little-endian.
pub const TARGET: &str = "bpfel-unknown-none";

/// Where a compiler's `core` for BPF comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// It lies beside the compiler, as in Debian's `libstd-rust-web-dev-bpf`.
    Prebuilt,
    /// Its source does (rustup's `rust-src`): cargo compiles it, `-Z build-std`.
    Source,
}

/// A compiler that can build the kernel programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The rustc itself, not a proxy of rustup's.
    pub rustc: PathBuf,
    /// The cargo that goes with it.
    pub cargo: PathBuf,
    /// Its core library.
    pub core: Core,
    /// The major version of the LLVM that it writes bitcode for.
    pub llvm: u32,
}

/// Finds a compiler, best first: the [`OVERRIDE`], a nightly of rustup's with sources, any with a prebuilt core.
///
/// # Errors
/// When the override names a program that cannot do it; a machine without such a compiler is `None`.
pub fn find() -> Result<Option<Compiler>> {
    if let Some(path) = env::var_os(OVERRIDE) {
        let probe = Probe::of(Origin::Override, Path::new(&path))
            .with_context(|| format!("{OVERRIDE} is to name a rustc, which {} is not", path.display()))?;
        let Some(compiler) = choose([probe]) else {
            bail!("{OVERRIDE} names {}, which has no core library for {TARGET}", path.display());
        };
        return Ok(Some(compiler));
    }
    let nightlies = nightlies().into_iter().map(|path| (Origin::Nightly, path));
    let installed = place::in_path("rustc").map(|path| (Origin::Installed, path));
    Ok(choose(nightlies.chain(installed).filter_map(|(origin, path)| Probe::of(origin, &path))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Override,
    Nightly,
    Installed,
}

/// What a rustc says about itself.
#[derive(Clone, Debug)]
struct Probe {
    origin: Origin,
    rustc: PathBuf,
    cargo: Option<PathBuf>,
    release: (u32, u32),
    llvm: u32,
    core: Option<Core>,
}

impl Probe {
    fn of(origin: Origin, rustc: &Path) -> Option<Self> {
        let (release, llvm) = versions(&output(rustc, &["-vV"])?)?;
        let printed = output(rustc, &["--print", "sysroot", "--print", "target-libdir", "--target", TARGET])?;
        let (sysroot, libdir) = printed.split_once('\n')?;
        let sysroot = Path::new(sysroot);
        let existing = |path: PathBuf| path.is_file().then_some(path);
        Some(Self {
            origin,
            rustc: existing(sysroot.join("bin/rustc")).unwrap_or_else(|| rustc.to_owned()),
            cargo: existing(sysroot.join("bin/cargo")),
            release,
            llvm,
            core: core(sysroot, Path::new(libdir.trim_end())),
        })
    }
}

fn core(sysroot: &Path, libdir: &Path) -> Option<Core> {
    let prebuilt = fs::read_dir(libdir).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| is_core(&file.file_name().to_string_lossy())))
    });
    if prebuilt {
        return Some(Core::Prebuilt);
    }
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file().then_some(Core::Source)
}

fn is_core(file: &str) -> bool {
    file.starts_with("libcore-")
        && Path::new(file).extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta")
}

/// The first that will do, in the order given.
fn choose(probes: impl IntoIterator<Item = Probe>) -> Option<Compiler> {
    probes.into_iter().find_map(|probe| {
        let core = probe.core?;
        let will_do = match probe.origin {
            Origin::Override => true,
            Origin::Nightly => core == Core::Source,
            Origin::Installed => core == Core::Prebuilt,
        };
        // A core from source needs the cargo it was released with; a prebuilt one is happy with the caller's.
        let cargo = probe.cargo.filter(|_| core == Core::Source).unwrap_or_else(callers_cargo);
        (will_do && probe.release >= minimum()).then_some(Compiler {
            rustc: probe.rustc,
            cargo,
            core,
            llvm: probe.llvm,
        })
    })
}

/// The cargo that runs this process.
pub fn callers_cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The `rust-version` of the workspace.
///
/// # Panics
/// Never: cargo checks the field.
pub fn minimum() -> (u32, u32) {
    release(env!("CARGO_PKG_RUST_VERSION")).expect("cargo has checked the field")
}

/// The toolchain folders of rustup whose name begins with `nightly`.
fn nightlies() -> Vec<PathBuf> {
    place::in_path("rustup")
        .next()
        .and_then(|rustup| output(&rustup, &["toolchain", "list", "-v"]))
        .map_or_else(Vec::new, |listing| nightlies_in(&listing))
}

fn nightlies_in(listing: &str) -> Vec<PathBuf> {
    listing
        .lines()
        .filter(|line| line.starts_with("nightly"))
        .filter_map(|line| line.find('/').map(|path| Path::new(&line[path..]).join("bin/rustc")))
        .collect()
}

/// Release and LLVM version in the answer to `rustc -vV`.
fn versions(verbose: &str) -> Option<((u32, u32), u32)> {
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some((release(field("release")?)?, field("LLVM version")?.split('.').next()?.parse().ok()?))
}

/// Major and minor number of a release: `1.97.0-nightly` is (1, 97).
pub fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = nested::command(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(origin: Origin, release: (u32, u32), core: Option<Core>) -> Probe {
        let rustc = format!("/{origin:?}/{}.{}", release.0, release.1).into();
        Probe { origin, rustc, cargo: Some("/its/cargo".into()), release, llvm: 22, core }
    }

    fn chosen(probes: &[Probe]) -> Option<String> {
        choose(probes.iter().cloned()).map(|compiler| compiler.rustc.to_string_lossy().into_owned())
    }

    #[test]
    fn a_nightly_without_sources_is_passed_over() {
        let nightly = probe(Origin::Nightly, (1, 97), None);
        let stable = probe(Origin::Installed, (1, 95), None);
        let debian = probe(Origin::Installed, (1, 96), Some(Core::Prebuilt));
        assert_eq!(chosen(&[nightly.clone(), stable.clone(), debian]).as_deref(), Some("/Installed/1.96"));
        assert_eq!(chosen(&[nightly, stable]), None);
    }

    #[test]
    fn a_nightly_with_sources_comes_first_and_brings_its_cargo() {
        let nightly = probe(Origin::Nightly, (1, 97), Some(Core::Source));
        let debian = probe(Origin::Installed, (1, 96), Some(Core::Prebuilt));
        let compiler = choose([nightly, debian.clone()]).expect("the nightly will do");
        assert_eq!((compiler.core, compiler.cargo), (Core::Source, "/its/cargo".into()));
        assert_eq!(choose([debian]).map(|compiler| compiler.cargo), Some(callers_cargo()));
    }

    #[test]
    fn only_the_override_may_compile_a_core_with_a_stable_compiler() {
        let sources = Some(Core::Source);
        assert_eq!(chosen(&[probe(Origin::Installed, (1, 95), sources)]), None);
        assert_eq!(chosen(&[probe(Origin::Override, (1, 95), sources)]).as_deref(), Some("/Override/1.95"));
    }

    #[test]
    fn a_compiler_older_than_the_workspace_is_passed_over() {
        let (major, minor) = minimum();
        assert_eq!(chosen(&[probe(Origin::Installed, (major, minor - 1), Some(Core::Prebuilt))]), None);
        assert!(chosen(&[probe(Origin::Installed, (major, minor), Some(Core::Prebuilt))]).is_some());
    }

    #[test]
    fn a_core_library_is_known_by_its_name() {
        assert!(is_core("libcore-8d2a7c.rlib"));
        assert!(!is_core("libcore_simd-8d2a7c.rlib"));
        assert!(!is_core("libcompiler_builtins-1.rlib"));
    }

    #[test]
    fn versions_are_read_from_rustc() {
        let verbose = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                       release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(versions(verbose), Some(((1, 97), 22)));
        assert_eq!(versions("release: 1.97.0\n"), None);
    }

    #[test]
    fn nightlies_are_read_from_rustup() {
        let listing = "stable-x86_64-unknown-linux-gnu (active, default) /r/toolchains/stable-x86_64-unknown-linux-gnu\n\
                       nightly-x86_64-unknown-linux-gnu /r/tool chains/nightly-x86_64-unknown-linux-gnu\n";
        let expected = PathBuf::from("/r/tool chains/nightly-x86_64-unknown-linux-gnu/bin/rustc");
        assert_eq!(nightlies_in(listing), [expected]);
        assert!(nightlies_in("no installed toolchains\n").is_empty());
    }
}
