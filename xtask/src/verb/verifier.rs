//! `verifier`: how many instructions each kernel's verifier walks for each program, against what is kept.

use crate::{
    counts::{self, Counts},
    install::{
        self, Purpose,
        kernel::{KERNELS, Kernel},
    },
    misuse,
    tally::Tally,
    verb::vm,
    vm::{Machine, Run},
};
use anyhow::{Result, ensure};
use std::{path::Path, process::ExitCode, time::Duration};

/// A machine that hangs is ended after that.
const LIMIT: Duration = Duration::from_mins(5);

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let update = match arguments {
        [] => false,
        ["--update"] => true,
        _ => return Err(misuse("verifier takes --update or nothing")),
    };
    install::ensure(Purpose::Booting)?;
    let program = vm::build()?;
    let mut tally = Tally::default();
    count(&program, update, &mut tally)?;
    Ok(tally.finish())
}

/// Counts on every kernel that is to be had, and holds that against what is kept, or keeps it.
pub(crate) fn count(program: &Path, update: bool, tally: &mut Tally) -> Result<()> {
    let mut counts = Counts::default();
    for kernel in KERNELS {
        // What the registry no longer has is reported by those who run more on it.
        if kernel.always || kernel.fetch().is_ok() {
            eprintln!("> Linux {}", kernel.title);
            counts.read(kernel.name, &boot(kernel, program)?)?;
        }
    }
    print!("{}", counts.table());
    if update {
        counts.keep()?;
    }
    counts::judge(&Counts::kept()?, &counts, tally, |line| println!("{line}"));
    Ok(())
}

/// What `doctor` prints for every backend, in a machine with this kernel.
fn boot(kernel: &Kernel, program: &Path) -> Result<Vec<String>> {
    let machine = Machine::new(kernel.name, kernel.fetch()?, program)?;
    let command = counts::command();
    let run = Run { name: "verifier", command: &command, parameters: "", limit: LIMIT, processors: 1 };
    let ran = machine.run(run, |_| {})?;
    ensure!(ran.code.is_some(), "the machine ended before its command did; see {}", ran.console.display());
    Ok(ran.output)
}
