//! The command line: types and their parsers, no deeds.

pub mod exit;
pub mod value;
pub mod watch;

use crate::{backend::Backend, pattern::Lang};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use std::{ffi::OsString, path::PathBuf};
use tracer_common::settings::FILTER_ENTRIES;
use watch::{DemoArgs, WatchArgs};

/// tells why a TCP connection failed
#[derive(Debug, Parser)]
#[command(name = "tcptrace", version, about, max_term_width = 80, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what goes wrong with connections, as it happens
    Watch(Box<WatchArgs>),
    /// Make the documented patterns happen in private namespaces, and show that they are told
    Demo(DemoArgs),
    /// Look once at what is wrong now: queues, CLOSE_WAIT, stalls, closes that are stuck
    Sockets(SocketsArgs),
    /// Explain a pattern
    Explain(ExplainArgs),
    /// List the patterns
    List(ListArgs),
    /// Say what this kernel and these rights allow
    Doctor(DoctorArgs),
    /// Print the JSON Schema of every output record
    Schema,
    /// A process of the demo
    #[command(name = "__actor", hide = true)]
    Actor,
}

impl Cli {
    /// Reads arguments; the first is the program's name.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(arguments)?;
        if let Command::Watch(watch) = &cli.command
            && watch.cgroup.len() > FILTER_ENTRIES
        {
            let why = format!("--cgroup may be given {FILTER_ENTRIES} times; one above them all is enough");
            return Err(Self::command().error(ErrorKind::TooManyValues, why));
        }
        Ok(cli)
    }
}

/// What to explain.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Id of a pattern, or name of an errno; without one, all there are
    #[arg(value_name = "ID|ERRNO", value_parser = value::subject)]
    pub subject: Option<value::Subject>,
    /// Language of the words [default: from the locale]
    #[arg(long, value_enum)]
    pub lang: Option<LangArg>,
}

/// How to look.
#[derive(Debug, Args)]
pub struct SocketsArgs {
    /// One JSON record a socket
    #[arg(long)]
    pub json: bool,
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Language of the words [default: from the locale]
    #[arg(long, value_enum)]
    pub lang: Option<LangArg>,
}

/// How to report.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Take the kernel's events by auto, tracepoint, fentry or kprobe
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = value::backend)]
    pub backend: Backend,
    /// The kernel's types, not from /sys/kernel/btf/vmlinux; watch --help says which
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Show how many instructions the kernel's verifier walked (-v), and why it refused a program (-vv)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print one line a program: its name, and how many instructions the kernel's verifier walks if all is asked for
    #[arg(long, hide = true, conflicts_with = "json")]
    pub verifier: bool,
}

/// A language, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LangArg {
    /// English
    En,
    /// Chinese
    Zh,
}

/// The language to use: what was asked for, else the locale's.
pub fn language(asked: Option<LangArg>) -> Lang {
    let locale = || {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
        set.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
    };
    match asked {
        Some(LangArg::Zh) => Lang::Zh,
        None if locale().starts_with("zh") => Lang::Zh,
        Some(LangArg::En) | None => Lang::En,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, watch::Format};
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_word_on_the_format_counts() {
        for (arguments, json) in [
            ("watch", false),
            ("watch --json", true),
            ("watch --format json", true),
            ("watch --json --format json", true),
            ("watch --json --format text", false),
            ("watch --format text --json", true),
        ] {
            let line = std::iter::once("tcptrace").chain(arguments.split(' '));
            let Command::Watch(watch) = Cli::read(line).expect(arguments).command else {
                unreachable!("watch was written")
            };
            assert_eq!(watch.format() == Format::Json, json, "{arguments}");
        }
    }
}
