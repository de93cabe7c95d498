//! `verifier`: how many instructions each kernel's verifier walks for each program, against what is kept.

use crate::{
    counts::{self, Counts},
    install::{
        self, Purpose,
        kernel::{KERNELS, Kernel},
    },
    misuse,
    tally::Tally,
    verb::vm::release,
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
    let program = release()?;
    let mut counts = Counts::default();
    for kernel in KERNELS {
        eprintln!("> Linux {}", kernel.name);
        counts.read(kernel.name, &boot(kernel, &program)?)?;
    }
    print!("{}", counts.table());
    if update {
        counts.keep()?;
    }
    let mut tally = Tally::default();
    counts::judge(&Counts::kept()?, &counts, &mut tally, |line| println!("{line}"));
    tally.failures().iter().for_each(|failed| println!("failed {failed}"));
    println!("{}", tally.closing());
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
