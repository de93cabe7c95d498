//! `tcptrace schema`: the JSON Schema of every output record.

use crate::{cli::exit::Exit, record::schema};
use anyhow::{Context, Result};
use std::io::Write;

/// Prints the schema.
///
/// # Errors
/// When standard output cannot be written.
pub fn run() -> Result<Exit> {
    let text = serde_json::to_string_pretty(&schema()).context("writing the schema")?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(Exit::Done)
}
