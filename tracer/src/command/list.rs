//! `tcptrace list`: the patterns.

use crate::{
    cli::{ListArgs, exit::Exit, language},
    pattern::{CATALOGUE, Lang},
};
use anyhow::Result;
use std::io::Write;

/// Prints a line for every pattern.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &ListArgs) -> Result<Exit> {
    let lang = language(arguments.lang);
    let mut out = std::io::stdout().lock();
    for pattern in CATALOGUE {
        writeln!(out, "{:<26} {:<8} {}", pattern.id, pattern.severity, pattern.text.of(lang).title)?;
    }
    let more = match lang {
        Lang::En => "`tcptrace explain ID` says what each means and what to do.",
        Lang::Zh => "`tcptrace explain ID` 说明每一种的含义和处理办法。",
    };
    writeln!(out, "\n{more}")?;
    Ok(Exit::Done)
}
