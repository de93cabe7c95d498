//! What building and testing need, and how it gets here.

mod apt;
mod bpf_linker;
mod debian_rust;
pub(crate) mod kernel;
mod rustup;
pub(crate) mod server;
mod suites;
mod unpack;

use crate::privilege;
use anyhow::{Context as _, Result, bail};
use apt::Apt;
use server::Server;
use std::{
    env,
    ffi::OsString,
    io,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};
use unpack::Package;
use xtask::{compiler, linker, place};

/// What the machine is to be made fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building tcptrace.
    Building,
    /// Building it, and running every check and test.
    Testing,
    /// Building it, and running it on other kernels.
    Booting,
    /// Building it, and measuring what servers lose by it.
    Comparing,
    /// Building it, and measuring what other tracers cost beside it.
    Racing,
    /// Building it, and measuring how often it is right beside ordinary traffic.
    Judging,
}

impl Purpose {
    fn packages(self) -> &'static [Package] {
        match self {
            Self::Booting => kernel::PACKAGES,
            // Where they cannot be installed, what needs them is skipped, and says so.
            Self::Testing if Apt::is_here() && privilege::is_root() => kernel::PACKAGES,
            _ => &[],
        }
    }

    fn servers(self) -> &'static [&'static Server] {
        match self {
            Self::Building | Self::Booting => &[],
            Self::Testing | Self::Comparing => &[&server::NGINX, &server::REDIS],
            Self::Racing => &[&server::LIBBPF_TOOLS, &server::BPFTRACE, &server::TCPDUMP],
            Self::Judging => &[&server::NGINX, &server::REDIS, &server::POSTGRES, &server::WRK],
        }
    }
}

/// Installs what is missing, after saying what; asks nothing. Returns whether there was anything to do.
pub(crate) fn ensure(purpose: Purpose) -> Result<bool> {
    let compiler = compiler::find()?;
    let linker = compiler.as_ref().and_then(linker::find);
    // Without Debian's packages what needs a server is skipped, and says so.
    let servers: Vec<&Server> =
        purpose.servers().iter().copied().filter(|server| !server.is_here()).collect();
    let servers = if Apt::is_here() { servers } else { Vec::new() };
    let missing: Vec<_> = [(compiler.is_none(), debian_rust::WHAT), (linker.is_none(), bpf_linker::WHAT)]
        .into_iter()
        .filter_map(|(missing, what)| missing.then_some(what))
        .chain(servers.iter().map(|server| server.what))
        .chain(unpack::missing(purpose.packages()))
        .collect();
    if !missing.is_empty() {
        eprintln!("setup: missing here, to be installed now:\n  {}", missing.join("\n  "));
    }
    let mut apt = Apt::default();
    let compiler = match compiler {
        Some(compiler) => compiler,
        None => debian_rust::install(&mut apt)?,
    };
    if linker.is_none() && linker::find(&compiler).is_none() {
        bpf_linker::build(&compiler)?;
    }
    unpack::install(purpose.packages(), &mut apt)?;
    for server in servers {
        match server.unpack(&mut apt) {
            Err(error) if purpose == Purpose::Racing => {
                eprintln!("setup: {} cannot be had here and is left out: {error:#}", server.package);
            }
            unpacked => unpacked?,
        }
    }
    if purpose == Purpose::Testing {
        rustup::require_components()?;
    }
    Ok(!missing.is_empty())
}

/// Why no virtual machine can be booted here; none where one can.
pub(crate) fn no_machines() -> Option<String> {
    match unpack::missing(kernel::PACKAGES).as_slice() {
        [] if Apt::is_here() => None,
        [] => Some("the kernels are Debian's, and apt-get is not here".to_owned()),
        missing => Some(format!(
            "{} not installed; `{}` does that on Debian",
            missing.join(", "),
            privilege::as_root("cargo xtask setup")
        )),
    }
}

/// `PATH` for programs that use what was installed: what the user has comes first.
pub(crate) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), place::tools().join("bin")]);
    env::join_paths(dirs).unwrap_or(path)
}

/// Runs a command to its end, its output shown as it comes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("could not run {}", command.get_program().display()))
}

/// Runs one step of the set-up: nothing to read, all output to standard error, then how long it took.
fn step(name: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    eprintln!("setup: {name}");
    let status = status(command.stdin(Stdio::null()).stdout(io::stderr()))?;
    if !status.success() {
        bail!("{name} failed ({status}): {}", line(command));
    }
    eprintln!("setup: {name} took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A command as it could be typed.
fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
