//! `matrix`: every situation on every kernel, by every means of attaching.

use crate::{
    install::{self, Purpose, kernel::Kernel},
    matrix::{self, Plan},
    misuse,
    tally::Tally,
    verb::vm,
    vm::machines,
};
use anyhow::{Context as _, Result};
use std::process::ExitCode;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let (mut kernels, mut backends, mut turn, mut document) = (Vec::new(), Vec::new(), 0, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| misuse(&format!("{argument} takes a value")));
        match *argument {
            "--kernel" => kernels.push(value()?),
            "--backend" => backends.push(value()?),
            "--turn" => turn = value()?.parse().context("--turn takes a number")?,
            "--document" => document = true,
            other => return Err(misuse(&format!("matrix does not take {other:?}"))),
        }
    }
    kernels.iter().try_for_each(|name| Kernel::named(name).map(drop))?;
    matrix::check(&backends)?;
    install::ensure(Purpose::Booting)?;
    let program = vm::build()?;
    if document {
        matrix::write_document(&program, false)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = Tally::default();
    let machines = machines(&kernels, &program, &mut tally)?;
    matrix::run(Plan { backends: &backends, turn }, &machines, &mut tally)?;
    Ok(tally.finish())
}
