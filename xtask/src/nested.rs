//! Programs that must not inherit what the cargo around this process has set.

use std::{env, ffi::OsStr, path::Path, process::Command};

/// What a nested cargo may still see: where its home and registries are, how it talks, how many jobs it may run.
const CARGO_KEPT: &[&str] = &[
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// What cargo sets for build scripts, and so `tracer/build.rs` would pass on but `cargo xtask ebpf` would not: the
/// two would undo each other's work.
const OF_BUILD_SCRIPTS: &[&str] =
    &["DEBUG", "HOST", "NUM_JOBS", "OPT_LEVEL", "OUT_DIR", "PROFILE", "RUSTDOC", "TARGET"];

/// A command whose environment holds no toolchain, flags, wrapper, profile or target directory of another build.
///
/// Without this the two builds would share fingerprints, `cargo clippy` would lint instead of compile, and a
/// change of the outer command line would rebuild the inner programs.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| belongs_to_a_build(name)) {
        command.env_remove(name);
    }
    command
}

fn belongs_to_a_build(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    if name.starts_with("CARGO") {
        return !CARGO_KEPT.iter().any(|kept| name.starts_with(kept));
    }
    name.starts_with("RUSTC")
        || matches!(name, "RUSTFLAGS" | "RUSTUP_TOOLCHAIN" | "LD_LIBRARY_PATH")
        || OF_BUILD_SCRIPTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_shapes_a_build_is_removed() {
        let removed = |name: &str| belongs_to_a_build(OsStr::new(name));
        for name in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_STRIP",
            "CARGO_PKG_VERSION",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
            "HOST",
        ] {
            assert!(removed(name), "{name}");
        }
        for name in ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR"] {
            assert!(!removed(name), "{name}");
        }
    }
}
