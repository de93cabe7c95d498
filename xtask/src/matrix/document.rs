//! The table of what each kernel shows, as the page that users read.

use super::{
    BACKENDS,
    gap::{Gap, Loss, gaps},
    gaps::GAPS,
};
use crate::install::kernel::KERNELS;
use anyhow::{Context as _, Result, bail};
use std::{fs, path::Path, process::Command};
use xtask::place;

/// Where the page is.
const DOCUMENT: &str = "tracer/docs/kernels.md";

/// What stands above the table.
const HEAD: &str = "\
# What each kernel shows

`cargo xtask matrix` boots Debian's kernels under emulation and makes every situation of `tcptrace demo` happen on each,
by every means of attaching. What is told there must be what happened, as everywhere: pattern, both processes, the
errno, and nothing else. What was missed at first is made to happen once more, and the run says how much that was. What
a kernel cannot show stands in this table, and the run fails when a gap is missing here, and when one is here that is
none. This page is made from it.

| means | what it is |
|---|---|
| auto | what `tcptrace` chooses by itself, hook by hook: the tracepoint, and functions where it is missing or shows less |
| tracepoint | `--backend tracepoint`: BTF tracepoints alone |
| fentry | `--backend fentry`: trampolines at the functions, where there is one for the hook |
| kprobe | `--backend kprobe`: kernel probes there |

Kernel probes at the end of a function see so many of its calls at a time as the kernel has made room for: one for each
CPU on Linux 5.10 that is not preemptible, later ten or two for each CPU, whichever is more
([source](https://github.com/torvalds/linux/blob/v5.10/kernel/kprobes.c)). What further calls return is not told: with
two CPUs and 30 threads that wait in recv(), none of five `premature_eof` was, on 5.10 and 7.2. Trampolines, which
`auto` takes where the kernel has them, have no such limit.

Each cell has a letter for each means, in that order: **F** all that happened is told; **d** degraded, some situations
or fields of the record are missing; **–** it cannot be told.

";

/// Writes the page, or, if only asked to `check`, fails where it is not what the table says.
pub(crate) fn write(program: &Path, check: bool) -> Result<()> {
    let path = place::workspace().join(DOCUMENT);
    let page = page(&patterns(program)?);
    if check {
        let kept = fs::read_to_string(&path).with_context(|| format!("could not read {DOCUMENT}"))?;
        if kept != page {
            bail!("{DOCUMENT} is not what the table says: run `cargo xtask matrix --document`");
        }
        return Ok(());
    }
    fs::write(&path, page).with_context(|| format!("could not write {DOCUMENT}"))
}

/// The ids of all patterns.
fn patterns(program: &Path) -> Result<Vec<String>> {
    let output =
        Command::new(program).args(["list", "--lang", "en"]).output().context("could not run tcptrace")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_id = |word: &&str| word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let ids = text.lines().filter_map(|line| line.split_whitespace().next()).filter(is_id);
    Ok(ids.map(str::to_owned).collect())
}

fn page(patterns: &[String]) -> String {
    let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.title).collect();
    let mut page =
        format!("{HEAD}| pattern | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for pattern in patterns {
        let cells: Vec<_> = KERNELS.iter().map(|kernel| cell(pattern, kernel.name)).collect();
        page.push_str(&["| `", pattern, "` | ", &cells.join(" | "), " |\n"].concat());
    }
    page.push_str("\n## What is lost\n");
    for gap in GAPS {
        page.push_str(&section(gap));
    }
    page
}

fn cell(pattern: &str, kernel: &str) -> String {
    let letter = |backend: &&str| {
        let mut letter = "F";
        for gap in gaps(kernel, backend) {
            let of_pattern = gap.situations.iter().filter(|(id, _)| *id == pattern);
            for (_, variant) in of_pattern {
                let all = *variant == "*" && gap.paths.is_empty() && gap.loss == Loss::All;
                letter = if all || letter == "–" { "–" } else { "d" };
            }
        }
        letter
    };
    BACKENDS.iter().map(letter).collect::<Vec<_>>().join(" ")
}

fn section(gap: &Gap) -> String {
    let title =
        |name: &&str| KERNELS.iter().find(|kernel| kernel.name == *name).map_or("?", |kernel| kernel.title);
    let kernels: Vec<_> = gap.kernels.iter().map(title).collect();
    let situation = |(pattern, variant): &(&str, &str)| match *variant {
        "*" => format!("`{pattern}`"),
        variant => format!("`{pattern}` ({})", variant.replace('_', " ")),
    };
    let situations: Vec<_> = gap.situations.iter().map(situation).collect();
    let paths = match gap.paths {
        [] => String::new(),
        paths => format!(", where the path is {}", paths.join(" or ")),
    };
    let loss = match gap.loss {
        Loss::All => "not told".to_owned(),
        Loss::Pattern(general) => format!("told as `{general}`"),
        Loss::FieldsAtTimes(fields) => {
            format!(
                "told without the {}, unless a look at all descriptors has come by",
                fields.join(" and the ")
            )
        }
    };
    format!(
        "\n**Linux {}, by {}**: {}{paths}: {loss}. {} ([source]({}))\n",
        kernels.join(", "),
        gap.backends.join(", "),
        situations.join(", "),
        gap.because,
        gap.source
    )
}
