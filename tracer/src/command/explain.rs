//! `tcptrace explain`: the documentation of a pattern or an errno, offline.

use crate::{
    cli::{ExplainArgs, exit::Exit, language, value::Subject},
    pattern::{CATALOGUE, ERRNO_PAGES, ErrnoPage, Lang, Pattern},
    terminal::{columns, wrap},
};
use anyhow::Result;
use std::io::Write;

/// Headings of a page.
struct Headings {
    seen: &'static str,
    means: &'static str,
    advice: &'static str,
    confirm: &'static str,
    settings: &'static str,
    patterns: &'static str,
}

const ENGLISH: Headings = Headings {
    seen: "SEEN",
    means: "MEANS",
    advice: "DO",
    confirm: "CONFIRM WITH",
    settings: "THRESHOLDS (--set KEY=VALUE)",
    patterns: "PATTERNS THAT GIVE IT",
};
const CHINESE: Headings = Headings {
    seen: "现象",
    means: "含义",
    advice: "处理",
    confirm: "确认命令",
    settings: "阈值(--set KEY=VALUE)",
    patterns: "给出它的模式",
};

/// Prints a page, or how to find one.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &ExplainArgs) -> Result<Exit> {
    let lang = language(arguments.lang);
    let text = match arguments.subject {
        Some(Subject::Pattern(pattern)) => page(pattern, lang, columns()),
        Some(Subject::Errno(errno)) => errno_page(errno, lang, columns()),
        None => usage(lang),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

fn usage(lang: Lang) -> String {
    let head = match lang {
        Lang::En => "tcptrace explain ID or ERRNO, with one of:",
        Lang::Zh => "tcptrace explain ID 或 ERRNO,为下列之一:",
    };
    let ids: Vec<String> = CATALOGUE
        .iter()
        .map(|pattern| format!("  {:<26} {}", pattern.id, pattern.text.of(lang).title))
        .collect();
    let errnos: Vec<&str> = ERRNO_PAGES.iter().map(|page| page.name).collect();
    format!("{head}\n\n{}\n\n{}\n", ids.join("\n"), wrap(&errnos.join(" "), 80, "  "))
}

fn errno_page(errno: &ErrnoPage, lang: Lang, columns: usize) -> String {
    let headings = match lang {
        Lang::En => ENGLISH,
        Lang::Zh => CHINESE,
    };
    let mut parts = vec![errno.name.to_owned(), wrap(errno.of(lang), columns, "  ")];
    let patterns: Vec<String> = errno
        .patterns()
        .map(|pattern| format!("  {:<26} {}", pattern.id, pattern.text.of(lang).title))
        .collect();
    if !patterns.is_empty() {
        parts.push(format!("{}\n{}", headings.patterns, patterns.join("\n")));
    }
    parts.join("\n\n") + "\n"
}

fn page(pattern: &Pattern, lang: Lang, columns: usize) -> String {
    let words = pattern.text.of(lang);
    let headings = match lang {
        Lang::En => ENGLISH,
        Lang::Zh => CHINESE,
    };
    let sections =
        [(headings.seen, words.seen), (headings.means, words.means), (headings.advice, words.advice)];
    let mut parts = vec![format!("{} ({})\n{}", pattern.id, pattern.severity, pattern.text.of(lang).title)];
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
    use super::{errno_page, page, usage};
    use crate::pattern::{CATALOGUE, ERRNO_PAGES, Lang};
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
    fn an_errno_has_a_page_that_names_its_patterns() {
        for (errno, lang) in ERRNO_PAGES.iter().flat_map(|page| [(page, Lang::En), (page, Lang::Zh)]) {
            let page = errno_page(errno, lang, 80);
            assert!(page.lines().all(|line| display_width(line) <= 80), "{page}");
            assert!(errno.patterns().all(|pattern| page.contains(pattern.id)), "{page}");
        }
        let timeouts = ERRNO_PAGES.iter().find(|page| page.name == "ETIMEDOUT").expect("a page");
        assert!(timeouts.patterns().count() >= 5);
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
