//! The engine alone: no kernel takes part. It is measured by a bench of its own, whose table this takes over.

use super::{part::Size, trial::Report};
use crate::verb::build::cargo;
use anyhow::{Context as _, Result, ensure};
use std::{path::Path, process::Stdio};

/// What will be done, a line each.
pub(crate) fn about(_: Size) -> String {
    "records as the programs write them, through decode and engine; a million connections at once".to_owned()
}

/// Runs it.
pub(crate) fn measure(_: Size, _: &Path, report: &mut Report) -> Result<()> {
    let mut command = cargo(&["bench", "--package", "tracer", "--bench", "engine"]);
    let output = command.stderr(Stdio::inherit()).output().context("could not run cargo")?;
    ensure!(output.status.success(), "the engine's bench failed ({})", output.status);
    report.text = String::from_utf8(output.stdout).context("the engine's bench printed no text")?;
    Ok(())
}
