//! `accuracy`: how often tcptrace is right, measured; `cargo xtask accuracy` builds it and what it needs.
//!
//! The lab makes its situations happen again and again under an ordinary `tcptrace watch`. What had to be told is what
//! the situations' own processes got from their calls; what was told is read from the watcher's NDJSON.

mod book;
mod counters;
mod floods;
mod hangups;
mod healthy;
mod plan;
mod round;
mod score;
mod seeds;
mod table;
mod traffic;

use anyhow::{Result, bail};
use clap::Parser;
use nix::unistd::Uid;
use std::{path::PathBuf, process::ExitCode};
use tracer::command::demo::watcher::Watcher;
use traffic::Kind;

/// How it is used; `cargo xtask accuracy` passes on what it was given.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask accuracy", version, about = "How often tcptrace is right", long_about = None)]
struct Arguments {
    /// Runs, each in another order
    #[arg(long, value_name = "N", default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Seed of the first run; the others follow
    #[arg(long, value_name = "S", default_value_t = FIRST_SEED)]
    seed: u64,
    /// Incidents of each pattern in a run; below 30 they are drawn from its cases
    #[arg(long, value_name = "N", default_value_t = PER_ID, value_parser = clap::value_parser!(u16).range(1..=1000))]
    per_id: u16,
    /// Only these patterns, and no decoys
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pattern: Vec<String>,
    /// Ordinary traffic beside it
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_values = ["http", "redis", "postgres"])]
    traffic: Vec<Kind>,
    /// Print whole findings where something is wrong
    #[arg(short, long)]
    verbose: bool,
    /// Instead: healthy connections, which must give no finding, and then clients that hang up on replies
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000000",
        value_parser = clap::value_parser!(u32).range(1_000..=10_000_000), conflicts_with_all = ["floods", "seeds", "seed", "per_id", "pattern", "traffic"])]
    healthy: Option<u32>,
    /// Instead: a scan of all ports and a flood of SYNs, and what the watcher does about them
    #[arg(long, conflicts_with_all = ["seeds", "seed", "per_id", "pattern", "traffic"])]
    floods: bool,
    /// The `tcptrace` to measure
    #[arg(long, hide = true)]
    program: PathBuf,
    /// Where the table of a run with defaults is kept
    #[arg(long, hide = true)]
    document: Option<PathBuf>,
    /// The machine, in a line
    #[arg(long, hide = true, default_value = "")]
    machine: String,
}

const SEEDS: u64 = 5;
const FIRST_SEED: u64 = 1;
const PER_ID: u16 = 30;
/// The argument with which this program plays a process of the lab.
const ACTOR: &str = "__actor";

impl Arguments {
    /// A watcher of these namespaces.
    fn watch(&self, namespaces: &[u32]) -> Result<Watcher> {
        let flags = namespaces.iter().flat_map(|inode| ["--netns".to_owned(), inode.to_string()]);
        Watcher::start(&self.program, &flags.collect::<Vec<_>>())
    }

    fn are_defaults(&self) -> bool {
        (self.seeds, self.seed, self.per_id) == (SEEDS, FIRST_SEED, PER_ID)
            && self.pattern.is_empty()
            && self.traffic == Kind::ALL
    }
}

fn main() -> ExitCode {
    let outcome = if std::env::args().nth(1).is_some_and(|first| first == ACTOR) {
        tracer::lab::actor::run().map(|()| true)
    } else {
        run(&Arguments::parse())
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("accuracy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every goal was met.
fn run(arguments: &Arguments) -> Result<bool> {
    if !Uid::effective().is_root() {
        bail!("this is not root, which making namespaces and loading programs into the kernel needs");
    }
    match arguments.healthy {
        Some(connections) => {
            let silent = healthy::run(arguments, connections)?;
            Ok(hangups::run(arguments)? && silent)
        }
        None if arguments.floods => floods::run(arguments),
        None => seeds::run(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn only_a_run_with_defaults_is_kept() {
        let read = |line: &str| Arguments::try_parse_from(line.split(' ')).expect(line);
        assert!(read("accuracy --program p").are_defaults());
        assert!(!read("accuracy --program p --seeds 1").are_defaults());
        assert!(!read("accuracy --program p --pattern broken_pipe").are_defaults());
        assert!(!read("accuracy --program p --traffic http,redis").are_defaults());
        assert_eq!(read("accuracy --program p --healthy").healthy, Some(1_000_000));
    }
}
