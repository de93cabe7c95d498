//! `tcptrace explain`: the documentation of a pattern, offline.

use crate::{
    cli::{ExplainArgs, exit::Exit, language},
    pattern::{CATALOGUE, Lang, Pattern, by_id},
    terminal::wrap,
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
        Some(id) => page(by_id(id).context("the id was checked")?, lang),
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

fn page(pattern: &Pattern, lang: Lang) -> String {
    let words = pattern.text.of(lang);
    let headings = match lang {
        Lang::En => ENGLISH,
        Lang::Zh => CHINESE,
    };
    let mut page = format!("{} ({})\n{}\n", pattern.id, pattern.severity, pattern.title);
    let sections =
        [(headings.seen, words.seen), (headings.means, words.means), (headings.advice, words.advice)];
    for (heading, text) in sections {
        page.push_str(&format!("\n{heading}\n{}\n", wrap(text, 2)));
    }
    page.push_str(&format!("\n{}\n  {}\n", headings.confirm, words.confirm));
    if !pattern.settings.is_empty() {
        page.push_str(&format!("\n{}\n", headings.settings));
        for setting in pattern.settings {
            page.push_str(&format!("  {}={}\n{}\n", setting.key, setting.default, wrap(setting.meaning, 4)));
        }
    }
    page
}
