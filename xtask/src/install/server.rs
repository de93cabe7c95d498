//! Servers, clients and tools to test and to measure with: unpacked, never installed, since Debian starts what it
//! installs.

use super::apt::Apt;
use anyhow::{Context as _, Result};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use xtask::place;

/// nginx, for the live tests and as a server of keep-alive connections.
pub(crate) const NGINX: Server = Server {
    what: "nginx: unpacked into target/tools, neither installed nor started",
    package: "nginx",
    programs: &["usr/sbin/nginx"],
};

/// Redis with its own load generator, for the tests of `accuracy` as well.
pub(crate) const REDIS: Server = Server {
    what: "redis-server and redis-tools: unpacked into target/tools, neither installed nor started",
    package: "redis-server",
    programs: &["usr/bin/redis-server", "usr/bin/redis-benchmark"],
};

/// PostgreSQL with its own load generator; each release of Debian has another version.
pub(crate) const POSTGRES: Server = Server {
    what: "postgresql: unpacked into target/tools, neither installed nor started",
    package: "postgresql",
    programs: &[
        "usr/lib/postgresql/*/bin/initdb",
        "usr/lib/postgresql/*/bin/postgres",
        "usr/lib/postgresql/*/bin/pgbench",
    ],
};

/// wrk, a load generator that ends in the middle of its work.
pub(crate) const WRK: Server = Server {
    what: "wrk: unpacked into target/tools, not installed",
    package: "wrk",
    programs: &["usr/bin/wrk"],
};

/// The bcc tools that need no compiler where they run.
pub(crate) const LIBBPF_TOOLS: Server = Server {
    what: "libbpf-tools: unpacked into target/tools, not installed",
    package: "libbpf-tools",
    programs: &["usr/sbin/tcpstates", "usr/sbin/tcplife"],
};

/// bpftrace, with the parts of LLVM that it compiles with.
pub(crate) const BPFTRACE: Server = Server {
    what: "bpftrace: unpacked into target/tools, not installed",
    package: "bpftrace",
    programs: &["usr/bin/bpftrace"],
};

/// tcpdump.
pub(crate) const TCPDUMP: Server = Server {
    what: "tcpdump: unpacked into target/tools, not installed",
    package: "tcpdump",
    programs: &["usr/bin/tcpdump"],
};

/// A Debian package.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its line in the announcement.
    pub(crate) what: &'static str,
    /// Its name, and that of its folder.
    pub(crate) package: &'static str,
    /// What is used of it and of its dependencies, below the root of the file system.
    programs: &'static [&'static str],
}

/// Starts a program with those of its libraries that the machine lacks.
const LAUNCHER: &str = r#"#!/bin/sh
root=${0%/bin/*}/PACKAGE
for lib in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*; do
    LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root"/PROGRAM "$@"
"#;

impl Server {
    /// Whether all of it is found.
    pub(crate) fn is_here(&self) -> bool {
        self.programs.iter().all(|path| program(name(path)).is_some())
    }

    /// Unpacks it.
    pub(crate) fn unpack(&self, apt: &mut Apt) -> Result<()> {
        let tools = place::tools();
        apt.unpack(self.package, &tools.join(self.package))?;
        for path in self.programs {
            self.launcher(path, &tools.join("bin"))
                .with_context(|| format!("could not write the launcher of {}", name(path)))?;
        }
        Ok(())
    }

    fn launcher(&self, path: &str, bin: &Path) -> io::Result<()> {
        fs::create_dir_all(bin)?;
        let launcher = bin.join(name(path));
        fs::write(&launcher, LAUNCHER.replace("PACKAGE", self.package).replace("PROGRAM", path))?;
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))
    }
}

/// Where a program is: where Debian installs PostgreSQL, in `PATH`, where Debian installs nginx, or where it was
/// unpacked.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let elsewhere = [Path::new("/usr/sbin").join(name), place::tools().join("bin").join(name)];
    let postgres = postgres_folder().map(|folder| folder.join(name));
    // What `PATH` has of the same name asks for a cluster that Debian's own tools have made.
    postgres.into_iter().chain(place::in_path(name)).chain(elsewhere).find(|program| program.is_file())
}

/// The programs of the latest PostgreSQL that is installed.
pub(crate) fn postgres_folder() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    numbered.max().map(|(_, folder)| folder)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
