//! `bench`: what tcptrace costs, measured over loopback with and without it, part by part.

use crate::{
    bench::{
        machine,
        part::{PARTS, Part, Size},
        storm,
        table::HEAD,
        trial::{QUIET, Report},
    },
    install::{self, Purpose},
    misuse, privilege,
    verb::build::cargo_build,
};
use anyhow::{Context as _, Result, bail};
use std::{path::Path, process::ExitCode};
use xtask::place;

/// What was asked for.
#[derive(Debug)]
struct Plan {
    /// None is there twice.
    parts: Vec<&'static Part>,
    size: Size,
}

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let plan = Plan::parse(arguments)?;
    if plan.parts.iter().any(|part| part.loads) && !privilege::is_root() {
        bail!(
            "this is not root, which loading programs into the kernel needs: {}",
            privilege::as_root(&["cargo xtask bench", &arguments.join(" ")].join(" ")).trim_end()
        );
    }
    eprintln!("{}", plan.announcement());
    install::ensure(Purpose::Building)?;
    for part in &plan.parts {
        install::ensure(part.purpose)?;
    }
    if !install::status(cargo_build().arg("--release"))?.success() {
        bail!("tcptrace does not build");
    }
    let program = place::own_target().join("release/tcptrace");
    for part in &plan.parts {
        measure(part, plan.size, &program)?;
    }
    println!("\n{}.", machine::describe());
    Ok(ExitCode::SUCCESS)
}

/// Measures a part and prints its table: what was measured is shown even where a later part fails.
fn measure(part: &Part, size: Size, program: &Path) -> Result<()> {
    let (load, overflows) = (machine::load(), machine::time_wait_overflows());
    let mut report = Report::default();
    (part.measure)(size, program, &mut report).with_context(|| format!("measuring {}", part.name))?;
    println!("\n## {}\n", part.name);
    print!("{}", report.text);
    if !report.rows.is_empty() {
        println!("{HEAD}");
    }
    for row in &report.rows {
        println!("{row}");
    }
    println!("\nLoad average before: {load}; after: {}.", machine::load());
    for remark in &report.remarks {
        println!("{remark}");
    }
    let overflows = machine::time_wait_overflows().saturating_sub(overflows);
    if overflows > 0 {
        println!("{overflows} connections found no room in TIME_WAIT (net.ipv4.tcp_max_tw_buckets).");
    }
    Ok(())
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self> {
        Self::read(arguments).ok_or_else(|| {
            let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
            misuse(&format!(
                "bench takes parts ({}; all of them when none is named), --pairs 1 to 1000 and --connections 100 to {}",
                names.join(", "),
                storm::MOST
            ))
        })
    }

    /// None of what cannot be asked for.
    fn read(mut arguments: &[&str]) -> Option<Self> {
        let (mut size, mut names) = (Size::default(), Vec::new());
        loop {
            arguments = match arguments {
                [] => break,
                ["--pairs", value, rest @ ..] => {
                    size.pairs = Some(value.parse().ok().filter(|pairs| (1..=1_000).contains(pairs))?);
                    rest
                }
                ["--connections", value, rest @ ..] => {
                    size.connections =
                        Some(value.parse().ok().filter(|most| (100..=storm::MOST).contains(most))?);
                    rest
                }
                [name, rest @ ..] => {
                    names.push(PARTS.iter().find(|part| part.name == *name)?.name);
                    rest
                }
            }
        }
        let parts = PARTS.iter().filter(|part| names.is_empty() || names.contains(&part.name)).collect();
        Some(Self { parts, size })
    }

    fn announcement(&self) -> String {
        let parts = self.parts.iter().map(|part| format!("{}: {}", part.name, (part.about)(self.size)));
        let minutes: usize = self.parts.iter().map(|part| (part.minutes)(self.size)).sum();
        format!(
            "bench: builds tcptrace for release. Then,\n{}\n\
             A round while other processes use more than {:.0} % of the CPUs is run again, if possible.\n\
             No setting of the host is changed. On a quiet machine this takes about {minutes} minutes.",
            parts.collect::<Vec<_>>().join("\n"),
            QUIET * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        Plan::read(arguments).map_or(Vec::new(), |plan| plan.parts.iter().map(|part| part.name).collect())
    }

    #[test]
    fn what_is_asked_for_is_done() {
        let all: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        assert_eq!(names(&[]), all);
        assert_eq!(names(&["--pairs", "2"]), all);
        assert_eq!(names(&["engine", "storms", "engine"]), ["storms", "engine"]);
        let size = |arguments: &[&str]| Plan::read(arguments).map(|plan| plan.size);
        assert_eq!(size(&["unrelated"]), Some(Size::default()));
        assert_eq!(
            size(&["--pairs", "3", "storms", "--connections", "1000"]),
            Some(Size { pairs: Some(3), connections: Some(1_000) })
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for wrong in
            [&["--pairs", "0"][..], &["--pairs"], &["--connections", "1000000"], &["--loud", "3"], &["storm"]]
        {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_part_has_a_name_of_its_own() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
    }
}
