//! Where things lie in the checkout and beside it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the workspace.
///
/// Cargo tells it to build scripts and to what it runs; what was known at compile time is wrong in a checkout that
/// has moved, or that shares its target directory with another.
///
/// # Panics
/// Never: every crate lies one folder below it.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().expect("a crate lies inside the workspace").to_owned()
}

/// Where `cargo xtask setup` puts programs: the same for every target directory.
pub fn tools() -> PathBuf {
    workspace().join("target/tools")
}

/// The cargo target directory that `inside` lies in: the nearest folder above it that cargo has marked as one.
///
/// None where the folder was there before cargo was, and so has no mark.
pub fn target_around(inside: &Path) -> Option<&Path> {
    let marked = |dir: &Path| dir.join("CACHEDIR.TAG").is_file() || dir.join(".rustc_info.json").is_file();
    inside.ancestors().skip(1).find(|dir| marked(dir))
}

/// The target directory that the running program was built in.
pub fn own_target() -> PathBuf {
    env::current_exe()
        .ok()
        .and_then(|program| target_around(&program).map(Path::to_owned))
        .unwrap_or_else(|| workspace().join("target"))
}

/// Every program of this name in `PATH`, in its order.
pub fn in_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let dirs: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let mut found = Vec::new();
    for program in dirs.into_iter().map(|dir| dir.join(name)) {
        if program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io};

    #[test]
    fn the_nearest_mark_is_the_target_directory() -> io::Result<()> {
        let root = env::temp_dir().join(format!("xtask-place-{}", std::process::id()));
        let (target, triple) = (root.join("target"), root.join("target/x86_64-unknown-linux-gnu"));
        let out = triple.join("debug/build/tracer-1/out");
        fs::create_dir_all(&out)?;
        assert_eq!(target_around(&out), target_around(&root), "no mark below the root");
        fs::write(target.join("CACHEDIR.TAG"), "")?;
        assert_eq!(target_around(&out), Some(target.as_path()));
        fs::write(triple.join("CACHEDIR.TAG"), "")?;
        assert_eq!(target_around(&out), Some(triple.as_path()));
        fs::remove_dir_all(root)
    }
}
