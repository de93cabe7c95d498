//! Imports go one way: who may name whom, and which libraries stay behind which door.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each part of the crate, and the parts it may import; its own and `std` go without saying.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("name", &[]),
    ("time", &[]),
    ("errno", &[]),
    ("death", &[]),
    ("sockopt", &[]),
    ("event", &["name", "time", "errno", "death"]),
    ("finding", &["name", "time", "errno", "death", "event"]),
    ("decode", &["name", "time", "errno", "death", "event"]),
    ("pattern", &["name", "time", "errno", "death", "sockopt", "event", "finding"]),
    ("engine", &["name", "time", "errno", "death", "event", "finding", "pattern"]),
    ("scenario", &["name", "time", "errno", "death", "sockopt", "event", "finding", "pattern", "engine"]),
    ("recording", &["pattern"]),
    ("enrich", &["name", "time"]),
    ("backend", &[]),
    ("kernel", &["name", "time", "errno", "event", "backend"]),
    ("live", &["time", "errno", "event", "finding", "decode", "engine", "enrich", "recording", "kernel"]),
    ("lab", &[]),
    ("filter", &["name", "time", "event", "finding", "pattern", "cli"]),
    ("cli", &["time", "finding", "pattern", "backend"]),
    ("record", &["name", "time", "errno", "death", "sockopt", "event", "finding", "pattern", "enrich"]),
    ("terminal", &[]),
    ("output", &["name", "time", "errno", "event", "finding", "pattern", "record", "terminal"]),
    (
        "command",
        &[
            "cli",
            "enrich",
            "engine",
            "errno",
            "event",
            "filter",
            "finding",
            "kernel",
            "lab",
            "live",
            "name",
            "output",
            "pattern",
            "record",
            "recording",
            "terminal",
            "time",
            "decode",
        ],
    ),
    ("main", &["cli", "command", "lab", "terminal"]),
    ("lib", &[]),
];

/// Libraries, and the only parts that may use them.
const BEHIND_A_DOOR: &[(&str, &[&str])] = &[
    ("aya", &["kernel", "live"]),
    ("aya_obj", &["kernel"]),
    ("tokio", &["live", "output", "command", "main"]),
    ("clap", &["cli", "command", "main"]),
    ("netlink_sys", &["kernel", "lab"]),
    ("procfs", &["enrich", "kernel", "command"]),
];

/// What the engine and the rules must not do: read a clock, do I/O, wait.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::env",
    "async ",
];
const PURE: &[&str] =
    &["name", "time", "errno", "death", "sockopt", "event", "finding", "decode", "pattern", "engine"];

fn sources(directory: &Path, to: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, to);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            to.push(entry);
        }
    }
}

/// Every file of the crate with the part it belongs to and its code, without comments and inline tests.
fn files() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let first = path.strip_prefix(&root).expect("below src").iter().next().expect("a name");
            let part = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("a source file");
            // Tests inside a module may reach further than what they test.
            let code = text.lines().take_while(|line| *line != "mod tests {");
            let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
            (part, path, code.join("\n"))
        })
        .collect()
}

/// The parts that code names: `crate::part`, also in groups (`use crate::{a::…, b}`).
fn named(code: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut word = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => parts.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(character),
                    _ => {}
                }
            }
            parts.push(word);
        } else {
            parts.push(rest.to_owned());
        }
    }
    let head = |part: String| {
        let part = part.trim().to_owned();
        part.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    parts.into_iter().map(head).filter(|part| part.starts_with(|c: char| c.is_lowercase())).collect()
}

fn forbidden(part: &str, code: &str) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let Some(allowed) = rules.get(part) else { return vec![format!("`{part}` is in no list")] };
    let imports = named(code).into_iter().filter(|name| {
        rules.contains_key(name.as_str()) && name != part && !allowed.contains(&name.as_str())
    });
    let doors = BEHIND_A_DOOR.iter().filter(|(library, parts)| {
        let used = code.contains(&format!("use {library}::")) || code.contains(&format!(" {library}::"));
        used && !parts.contains(&part)
    });
    let impure = IMPURE.iter().filter(|deed| PURE.contains(&part) && code.contains(**deed));
    imports
        .map(|name| format!("imports {name}"))
        .chain(doors.map(|(library, _)| format!("uses {library}")))
        .chain(impure.map(|deed| format!("names {deed}")))
        .collect()
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (part, path, code) in files() {
        wrong.extend(forbidden(&part, &code).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_import_is_seen() {
    assert_eq!(
        forbidden("pattern", "use crate::{\n    event::{A, B},\n    engine::Engine,\n};"),
        ["imports engine"]
    );
    assert_eq!(forbidden("engine", "let now = std::time::Instant::now();"), ["names Instant::now"]);
    assert_eq!(forbidden("decode", "use aya::maps::RingBuf;"), ["uses aya"]);
    assert!(forbidden("engine", "use crate::{event::Event, pattern::{self, View}};").is_empty());
}

#[test]
fn files_stay_short() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    for part in ["tracer", "tracer-common", "tracer-ebpf", "accuracy", "xtask"] {
        let before = paths.len();
        sources(&workspace.join(part).join("src"), &mut paths);
        assert!(paths.len() > before, "{part} has no sources");
    }
    let long: Vec<String> = paths
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("a source file").lines().count();
            (lines > 400).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}
