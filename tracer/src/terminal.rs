//! What a terminal can show.

use std::io::IsTerminal;

/// Columns that text for people fills at most, wherever it goes.
pub const COLUMNS: usize = 80;

/// Whether to colour what goes to standard output: only a terminal, and not when the user minds.
pub fn colours(forbidden: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !forbidden && !set("NO_COLOR") && !dumb && std::io::stdout().is_terminal()
}

/// Text broken into lines, each after `indent` blanks.
pub fn wrap(text: &str, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let options = textwrap::Options::new(COLUMNS).initial_indent(&blanks).subsequent_indent(&blanks);
    let paragraphs: Vec<String> =
        text.split("\n\n").map(|paragraph| textwrap::fill(paragraph, &options)).collect();
    paragraphs.join("\n\n")
}
