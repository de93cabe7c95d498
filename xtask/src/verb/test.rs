//! `test`: formatting, lints and every test, live ones included, also on other kernels; ends with one line of sums.

use crate::{
    install::{self, Purpose},
    matrix::{self, Plan},
    misuse,
    tally::Tally,
    traps,
    verb::{build, ebpf, verifier, vm},
    vm::machines,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    env::consts::ARCH,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};
use xtask::place;

/// Formatting, and what a macro hides from rustfmt: it sees no module that one declares.
const FORMAT: &[&str] = &["fmt", "--all", "--check", "--"];
const HIDDEN: &str = "tracer/src/pattern";

/// Lints.
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];

/// `--show-output` brings the `SKIP` lines of passing tests; the kernel programs have no tests of their own kind.
const TESTS: &[&str] =
    &["test", "--workspace", "--exclude", "tracer-ebpf", "--no-fail-fast", "--", "--show-output"];

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let [] = arguments else { return Err(misuse("test takes no arguments")) };
    install::ensure(Purpose::Testing)?;
    let mut tally = Tally::default();
    for (check, files) in [(FORMAT, hidden_files()?), (LINTS, Vec::new())] {
        announce(check);
        if !install::status(cargo(check).args(files))?.success() {
            tally.fail(format!("cargo {}", check.join(" ")));
        }
    }
    for architecture in ebpf::ARCHITECTURES.iter().filter(|architecture| **architecture != ARCH) {
        let check = ["xtask", "ebpf", architecture];
        announce(&check);
        if let Err(error) = ebpf::build(architecture) {
            eprintln!("{error:#}");
            tally.fail(format!("cargo {}", check.join(" ")));
        }
    }
    announce(TESTS);
    let before = tally.failed();
    let succeeded = stream(&mut cargo(TESTS), &mut tally)?;
    if !succeeded && tally.failed() == before {
        tally.fail("cargo test, before or beside the tests".to_owned());
    }
    if let Err(error) = on_other_kernels(&mut tally) {
        eprintln!("{error:#}");
        tally.fail(format!("other kernels: {error:#}"));
    }
    Ok(tally.finish())
}

/// What the programs cost the verifiers of other kernels, what may be in the way there, and what they show.
fn on_other_kernels(tally: &mut Tally) -> Result<()> {
    if let Some(why_not) = install::no_machines() {
        tally.skip(format!("other kernels: {why_not}"));
        return Ok(());
    }
    announce(&["build", "-p", "tracer", "--profile", "emulated"]);
    let program = vm::build()?;
    let machines = machines(&[], &program, tally)?;
    announce(&["xtask", "verifier"]);
    verifier::count(&machines, false, tally)?;
    announce(&["xtask", "traps"]);
    traps::run(&machines, None, tally)?;
    announce(&["xtask", "matrix"]);
    matrix::write_document(&program, true)?;
    matrix::run(Plan::default(), &machines, tally)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = build::cargo(arguments);
    cargo.env("PATH", install::path());
    cargo
}

/// The files of [`HIDDEN`], of which there must be some.
fn hidden_files() -> Result<Vec<PathBuf>> {
    let folder = place::workspace().join(HIDDEN);
    let entries = fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

fn announce(arguments: &[&str]) {
    eprintln!("\n> cargo {}", arguments.join(" "));
}

/// Runs the tests, shows what they print while they print it, and adds it up.
fn stream(tests: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = tests.stdout(Stdio::piped()).spawn().context("could not run cargo")?;
    let mut output = BufReader::new(child.stdout.take().context("the output was asked for")?);
    let mut stdout = io::stdout();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).context("could not read what the tests print")? > 0 {
        stdout
            .write_all(&line)
            .and_then(|()| stdout.flush())
            .context("could not show what the tests print")?;
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait().context("could not wait for the tests")?.success())
}
