//! The flags of `watch` and `demo`.

use super::value::{self, Namespace, Network, Ports, Threshold};
use crate::finding::Severity;
use clap::{ArgAction, Args, ValueEnum};
use std::{ffi::OsString, path::PathBuf, time::Duration};

const FILTERS: &str = "Filters";
const OUTPUT: &str = "Output";
const RUN: &str = "Run";

const AFTER_HELP: &str = "\
Examples:
  sudo tcptrace watch --port 8080          what goes wrong at port 8080, either end
  sudo tcptrace watch --json | jq .        one JSON object a line, for a log shipper
  sudo tcptrace watch -- curl http://db/   what goes wrong for one command
  sudo tcptrace watch --fail-on critical --duration 60s

Overhead: BPF programs at TCP's own tracepoints, none at system calls; what they
cost is in tracer/docs/performance.md and, with --probe-stats, in the output.";

/// What to watch, and how to tell it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct WatchArgs {
    /// Port of either end: N, N-M, or several with commas
    #[arg(short, long, value_name = "PORTS", value_parser = value::ports, help_heading = FILTERS)]
    pub port: Option<Ports>,
    /// Local port
    #[arg(short = 'L', long, value_name = "PORTS", value_parser = value::ports, help_heading = FILTERS)]
    pub local_port: Option<Ports>,
    /// Remote port
    #[arg(short = 'D', long, value_name = "PORTS", value_parser = value::ports, help_heading = FILTERS)]
    pub remote_port: Option<Ports>,
    /// Address or network of either end; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = value::network, help_heading = FILTERS)]
    pub addr: Vec<Network>,
    /// IPv4 only (IPv4-mapped IPv6 is IPv4)
    #[arg(short = '4', conflicts_with = "ipv6", help_heading = FILTERS)]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', help_heading = FILTERS)]
    pub ipv6: bool,
    /// Process that owns either end; may be repeated
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..), help_heading = FILTERS)]
    pub pid: Vec<u32>,
    /// Name of the process that owns either end; may be repeated
    #[arg(long, value_name = "NAME", help_heading = FILTERS)]
    pub comm: Vec<String>,
    /// Network namespace: a path, a pid, or an inode number; may be repeated
    #[arg(long, value_name = "PATH|NUMBER", value_parser = value::namespace, help_heading = FILTERS)]
    pub netns: Vec<Namespace>,
    /// Only these patterns
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = value::pattern, help_heading = FILTERS)]
    pub pattern: Vec<&'static str>,
    /// Switch a pattern off; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = value::pattern, help_heading = FILTERS)]
    pub exclude: Vec<&'static str>,
    /// Least severity to tell: info, warning or critical
    #[arg(long, value_name = "SEVERITY", default_value = "warning", value_parser = value::severity, help_heading = FILTERS)]
    pub min_severity: Severity,
    /// Tell the tracer's own connections, too
    #[arg(long = "self", help_heading = FILTERS)]
    pub itself: bool,

    /// Tell every event as well: state changes, resets, errors
    #[arg(long, help_heading = OUTPUT)]
    pub events: bool,
    /// Same as --format json
    #[arg(long, conflicts_with = "format", help_heading = OUTPUT)]
    pub json: bool,
    /// For people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = OUTPUT)]
    pub format: Format,
    /// More: -v the story of each finding, -vv what the verifier says
    #[arg(short, long, action = ArgAction::Count, help_heading = OUTPUT)]
    pub verbose: u8,
    /// One line a finding
    #[arg(short, long, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// No colours (so does NO_COLOR)
    #[arg(long, help_heading = OUTPUT)]
    pub no_color: bool,
    /// Measure the run time of every probe
    #[arg(long, help_heading = OUTPUT)]
    pub probe_stats: bool,

    /// End after this time: 30s, 5m, 1.5h
    #[arg(long, value_name = "TIME", value_parser = value::duration, help_heading = RUN)]
    pub duration: Option<Duration>,
    /// End after this many findings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = RUN)]
    pub max_findings: Option<u64>,
    /// Exit with 5 when a finding is as severe
    #[arg(long, value_name = "SEVERITY", value_parser = value::severity, help_heading = RUN)]
    pub fail_on: Option<Severity>,
    /// Change a threshold (see `tcptrace explain ID`); may be repeated
    #[arg(long, value_name = "ID.KEY=VALUE", value_parser = value::threshold, help_heading = RUN)]
    pub set: Vec<Threshold>,
    /// Attach no probes to system calls; no pattern of this version needs any
    #[arg(long, help_heading = RUN)]
    pub no_syscalls: bool,
    /// Size of the ring between kernel and daemon
    #[arg(long, value_name = "BYTES", default_value = "8M", value_parser = value::ring_size, help_heading = RUN)]
    pub ring_size: u32,
    /// Write this file when everything is attached
    #[arg(long, value_name = "PATH", help_heading = RUN)]
    pub ready_file: Option<PathBuf>,
    /// Keep the raw records here, for tests
    #[arg(long, value_name = "PATH", hide = true)]
    pub raw_records: Option<PathBuf>,
    /// Run a command, tell what goes wrong for it and its children, and end with it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What to make happen.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Patterns to make happen [default: all]
    #[arg(value_name = "ID", value_parser = value::pattern)]
    pub ids: Vec<&'static str>,
    /// Switch a pattern off, to see the demo miss it
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = value::pattern)]
    pub exclude: Vec<&'static str>,
    /// Show every message
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// NDJSON
    Json,
}

impl WatchArgs {
    /// The format that was asked for.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
