//! `verifier`: how many instructions each kernel's verifier walks for each program, against what is kept.

use crate::{
    counts::{self, Counts},
    install::{self, Purpose},
    misuse,
    tally::Tally,
    verb::vm,
    vm::{Machine, Run, machines, side_by_side},
};
use anyhow::{Result, ensure};
use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

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
    let machines = machines(&[], &program, &mut tally)?;
    count(&machines, update, &mut tally)?;
    Ok(tally.finish())
}

/// Counts on each machine, and holds that against what is kept, or keeps it.
pub(crate) fn count(machines: &[Machine], update: bool, tally: &mut Tally) -> Result<()> {
    let counts = Mutex::new(Counts::default());
    side_by_side(machines.iter().collect(), |machine| {
        let output = boot(machine)?;
        counts.lock().unwrap_or_else(PoisonError::into_inner).read(machine.kernel.name, &output)
    })?;
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    print!("{}", counts.table());
    if update {
        counts.keep()?;
    }
    counts::judge(&Counts::kept()?, &counts, tally, |line| println!("{line}"));
    Ok(())
}

/// What `doctor` prints for every backend, in this machine.
fn boot(machine: &Machine) -> Result<Vec<String>> {
    eprintln!("> Linux {}", machine.release());
    let command = counts::command();
    let run = Run { name: "verifier", command: &command, parameters: "", limit: LIMIT, processors: 1 };
    let ran = machine.run(run, |_| {})?;
    ensure!(ran.code.is_some(), "the machine ended before its command did; see {}", ran.console.display());
    Ok(ran.output)
}
