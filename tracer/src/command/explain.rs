//! `tcptrace explain`: the documentation of a pattern, offline.

use crate::{
    cli::{ExplainArgs, exit::Exit, language},
    pattern::{CATALOGUE, Lang, Pattern, by_id},
    terminal::{columns, wrap},
};
use anyhow::{Context, Result};
use std::io::Write;

/// Headings of a page.
struct Headings {
    seen: &'static str,
    means: &'static str,
    advice: &'static str,
    confirm: &'static str,
    settings: &'static str,
}

const ENGLISH: Headings = Headings {
    seen: "SEEN",
    means: "MEANS",
    advice: "DO",
    confirm: "CONFIRM WITH",
    settings: "THRESHOLDS (--set KEY=VALUE)",
};
const CHINESE: Headings = Headings {
    seen: "现象",
    means: "含义",
    advice: "处理",
    confirm: "确认命令",
    settings: "阈值(--set KEY=VALUE)",
};

/// Prints a page, or how to find one.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &ExplainArgs) -> Result<Exit> {
    let lang = language(arguments.lang);
    let text = match arguments.id {
        Some(id) => page(by_id(id).context("the id was checked")?, lang, columns()),
        None => usage(lang),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

fn usage(lang: Lang) -> String {
    let head = match lang {
        Lang::En => "tcptrace explain ID, with one of:",
        Lang::Zh => "tcptrace explain ID,ID 为下列之一:",
    };
    let ids: Vec<String> =
        CATALOGUE.iter().map(|pattern| format!("  {:<26} {}", pattern.id, pattern.title)).collect();
    format!("{head}\n\n{}\n", ids.join("\n"))
}

fn page(pattern: &Pattern, lang: Lang, columns: usize) -> String {
    let words = pattern.text.of(lang);
    let headings = match lang {
        Lang::En => ENGLISH,
        Lang::Zh => CHINESE,
    };
    let sections =
        [(headings.seen, words.seen), (headings.means, words.means), (headings.advice, words.advice)];
    let mut parts = vec![format!("{} ({})\n{}", pattern.id, pattern.severity, pattern.title)];
    parts.extend(sections.map(|(heading, text)| format!("{heading}\n{}", wrap(text, columns, "  "))));
    parts.push(format!("{}\n  {}", headings.confirm, words.confirm));
    let settings: Vec<String> = pattern
        .settings
        .iter()
        .map(|setting| {
            format!("  {}={}\n{}", setting.key, setting.default, wrap(setting.meaning, columns, "    "))
        })
        .collect();
    if !settings.is_empty() {
        parts.push(format!("{}\n{}", headings.settings, settings.join("\n")));
    }
    parts.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{page, usage};
    use crate::pattern::{CATALOGUE, Lang};
    use textwrap::core::display_width;

    #[test]
    fn every_page_fits_and_says_everything() {
        for (pattern, lang) in CATALOGUE.iter().flat_map(|pattern| [(pattern, Lang::En), (pattern, Lang::Zh)])
        {
            let page = page(pattern, lang, 80);
            let wide: Vec<&str> = page.lines().filter(|line| display_width(line) > 80).collect();
            assert!(wide.is_empty(), "{}: {wide:#?}", pattern.id);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let words = pattern.text.of(lang);
            for part in [words.seen, words.means, words.advice, words.confirm] {
                assert!(letters(&page).contains(&letters(part)), "{}: {part}", pattern.id);
            }
            for setting in pattern.settings {
                assert!(page.contains(&format!("{}={}", setting.key, setting.default)), "{}", pattern.id);
            }
        }
    }

    #[test]
    fn without_an_id_every_pattern_is_named() {
        for lang in [Lang::En, Lang::Zh] {
            let usage = usage(lang);
            assert!(CATALOGUE.iter().all(|pattern| usage.contains(pattern.id)));
            assert!(usage.lines().all(|line| display_width(line) <= 80), "{usage}");
        }
    }
}
