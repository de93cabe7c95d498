//! nginx, the server of the live tests: unpacked, never installed, since Debian starts what it installs.

use super::apt::Apt;
use anyhow::{Context as _, Result};
use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};
use xtask::place;

/// Its line in the announcement.
pub(crate) const WHAT: &str =
    "nginx, for live tests: unpacked into target/tools, neither installed nor started";

/// Starts nginx with those of its libraries that the machine lacks.
const LAUNCHER: &str = r#"#!/bin/sh
root=${0%/bin/*}/nginx
for lib in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*; do
    LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root/usr/sbin/nginx" "$@"
"#;

/// Whether the tests find one.
pub(crate) fn is_here() -> bool {
    place::in_path("nginx").next().is_some()
        || [Path::new("/usr/sbin/nginx"), &place::tools().join("bin/nginx")]
            .iter()
            .any(|program| program.is_file())
}

/// Unpacks it.
pub(crate) fn unpack(apt: &mut Apt) -> Result<()> {
    let tools = place::tools();
    apt.unpack("nginx", &tools.join("nginx"))?;
    launcher(&tools.join("bin")).context("could not write the launcher of nginx")
}

fn launcher(bin: &Path) -> io::Result<()> {
    fs::create_dir_all(bin)?;
    let path = bin.join("nginx");
    fs::write(&path, LAUNCHER)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}
