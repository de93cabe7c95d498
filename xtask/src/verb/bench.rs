//! `bench`: what tcptrace costs, measured over loopback with and without it: in storms of connections, or in work
//! that has nothing to do with it.

use crate::{
    bench::{
        machine, storm, storms,
        table::HEAD,
        trial::{QUIET, Report},
        unrelated,
    },
    finish,
    install::{self, Purpose},
    misuse, privilege,
    verb::build::{cargo, cargo_build},
};
use anyhow::{Result, bail};
use std::process::ExitCode;
use xtask::place;

/// What was asked for beside a running tcptrace.
#[derive(Debug, PartialEq)]
enum Plan {
    Storms { pairs: usize, connections: u32 },
    Unrelated { pairs: usize },
}

/// What measures the engine alone.
const ENGINE: &[&str] = &["bench", "--package", "tracer", "--bench", "engine"];

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    if arguments == ["--engine"] {
        return engine();
    }
    let plan = Plan::parse(arguments)?;
    if !privilege::is_root() {
        bail!(
            "this is not root, which loading programs into the kernel needs: {}",
            privilege::as_root(&["cargo xtask bench", &arguments.join(" ")].join(" ")).trim_end()
        );
    }
    eprintln!("{}", plan.announcement());
    install::ensure(plan.purpose())?;
    if !install::status(cargo_build().arg("--release"))?.success() {
        bail!("tcptrace does not build");
    }
    let program = place::own_target().join("release/tcptrace");
    let (load, overflows) = (machine::load(), machine::time_wait_overflows());
    let mut report = Report::default();
    match plan {
        Plan::Storms { pairs, connections } => storms::measure(pairs, connections, &program, &mut report)?,
        Plan::Unrelated { pairs } => unrelated::measure(pairs, &program, &mut report)?,
    }
    println!("{HEAD}");
    for row in &report.rows {
        println!("{row}");
    }
    println!("\n{}.", machine::describe());
    println!("Load average before: {load}; after: {}.", machine::load());
    for remark in &report.remarks {
        println!("{remark}");
    }
    let overflows = machine::time_wait_overflows().saturating_sub(overflows);
    if overflows > 0 {
        println!("{overflows} connections found no room in TIME_WAIT (net.ipv4.tcp_max_tw_buckets).");
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures the engine alone: no kernel takes part, so no rights are needed.
fn engine() -> Result<ExitCode> {
    install::ensure(Purpose::Building)?;
    let code = finish(&mut cargo(ENGINE))?;
    println!("\n{}.", machine::describe());
    Ok(code)
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self> {
        Self::read(arguments).ok_or_else(|| {
            misuse(&format!(
                "bench takes --pairs 1 to 1000, and --unrelated or --connections 100 to {}; or --engine alone",
                storm::MOST
            ))
        })
    }

    /// None of what cannot be asked for.
    fn read(mut arguments: &[&str]) -> Option<Self> {
        let (mut pairs, mut connections, mut unrelated) = (None, None, false);
        loop {
            arguments = match arguments {
                [] => break,
                ["--unrelated", rest @ ..] => {
                    unrelated = true;
                    rest
                }
                ["--pairs", value, rest @ ..] => {
                    pairs = Some(value.parse().ok().filter(|pairs| (1..=1_000).contains(pairs))?);
                    rest
                }
                ["--connections", value, rest @ ..] => {
                    connections = Some(value.parse().ok().filter(|most| (100..=storm::MOST).contains(most))?);
                    rest
                }
                _ => return None,
            }
        }
        match (unrelated, connections) {
            (false, connections) => {
                Some(Self::Storms { pairs: pairs.unwrap_or(40), connections: connections.unwrap_or(20_000) })
            }
            (true, None) => Some(Self::Unrelated { pairs: pairs.unwrap_or(15) }),
            (true, Some(_)) => None,
        }
    }

    fn purpose(&self) -> Purpose {
        match self {
            Self::Storms { .. } => Purpose::Building,
            Self::Unrelated { .. } => Purpose::Comparing,
        }
    }

    fn announcement(&self) -> String {
        let (what, minutes) = match *self {
            Self::Storms { pairs, connections } => {
                (storms::announcement(pairs, connections), storms::minutes(pairs))
            }
            Self::Unrelated { pairs } => (unrelated::announcement(pairs), unrelated::minutes(pairs)),
        };
        format!(
            "bench: builds tcptrace for release. Then, {what}\n\
             A round while other processes use more than {:.0} % of the CPUs is run again, if possible.\n\
             No setting of the host is changed. On a quiet machine this takes about {minutes} minutes.",
            QUIET * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_done() {
        let plan = |arguments: &[&str]| Plan::read(arguments);
        assert_eq!(plan(&[]), Some(Plan::Storms { pairs: 40, connections: 20_000 }));
        assert_eq!(
            plan(&["--pairs", "3", "--connections", "1000"]),
            Some(Plan::Storms { pairs: 3, connections: 1_000 })
        );
        assert_eq!(plan(&["--unrelated"]), Some(Plan::Unrelated { pairs: 15 }));
        assert_eq!(plan(&["--unrelated", "--pairs", "2"]), Some(Plan::Unrelated { pairs: 2 }));
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for wrong in [
            &["--pairs", "0"][..],
            &["--pairs"],
            &["--connections", "1000000"],
            &["--loud", "3"],
            &["--pairs", "3", "--engine"],
            &["--unrelated", "--connections", "1000"],
        ] {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
