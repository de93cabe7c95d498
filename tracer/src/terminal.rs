//! What a terminal can show.

use std::io::IsTerminal;
use textwrap::{Options, WordSplitter};

/// Columns that text for people fills at most, wherever it goes.
pub const COLUMNS: usize = 80;
/// Narrower is not tried: names alone would not fit.
const NARROWEST: usize = 40;

/// Columns to fill: [`COLUMNS`], or fewer when standard output is a narrower terminal.
pub fn columns() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stdout());
    size.map_or(COLUMNS, |(columns, _)| usize::from(columns.0).clamp(NARROWEST, COLUMNS))
}

/// Whether to colour what goes to standard output: only a terminal, and not when the user minds.
pub fn colours(forbidden: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !forbidden && !set("NO_COLOR") && !dumb && std::io::stdout().is_terminal()
}

/// Text in lines of at most `width` columns; the first begins with `first`, each further one with as many blanks.
/// Paragraphs stay apart.
pub fn wrap(text: &str, width: usize, first: &str) -> String {
    let blanks = " ".repeat(first.len());
    // Names of processes have hyphens, and are one word.
    let options = Options::new(width).subsequent_indent(&blanks).word_splitter(WordSplitter::NoHyphenation);
    let mut begins = first;
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| {
            let lines = textwrap::fill(paragraph, options.clone().initial_indent(begins));
            begins = &blanks;
            lines
        })
        .collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn prose_keeps_its_indent_and_its_paragraphs() {
        let wrapped = wrap("one two three four five six\n\nseven", 14, "  do: ");
        assert_eq!(wrapped, "  do: one two\n      three\n      four\n      five six\n\n      seven");
    }

    #[test]
    fn chinese_wraps_between_characters_but_not_before_a_mark() {
        let wrapped = wrap("\u{8bfb}\u{8fd4}\u{56de}\u{3002}\u{5173}\u{95ed}", 6, "");
        assert_eq!(wrapped, "\u{8bfb}\u{8fd4}\n\u{56de}\u{3002}\u{5173}\n\u{95ed}");
    }
}
