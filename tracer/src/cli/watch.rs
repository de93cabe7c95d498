//! The flags of `watch` and `demo`.

use super::value::{self, Cgroup, Namespace, Network, Ports, Threshold};
use crate::{backend::Backend, finding::Severity, pattern};
use clap::{ArgAction, Args, ValueEnum};
use std::{ffi::OsString, path::PathBuf, time::Duration};

const FILTERS: &str = "Filters";
const OUTPUT: &str = "Output";
const RUN: &str = "Run";
const THRESHOLDS: &str = "Thresholds";

const NOTES: &str = "\
Overhead:
  BPF programs are attached to tracepoints of TCP. They run when a socket
  changes its state, when a reset is sent or received, when a segment is sent
  again or thrown away, and at the end of each send and receive call on a
  socket. To see connect(), accept() and socket options fail, the end of these
  calls is looked at: that makes every system call of the host 30 to 75 ns
  slower, and --no-syscalls leaves it out. With --json the stats records tell
  what the tracer itself costs; --probe-stats adds each program.

Examples:
  sudo tcptrace watch
      what goes wrong with any connection, until Ctrl-C
  sudo tcptrace watch --port 8080 -v
      the same at port 8080, at either end, with the story of each finding
  sudo tcptrace watch --addr 10.0.0.0/8 --set close_wait_leak.after=5m
      connections to one network, and leaks after five minutes only
  sudo tcptrace watch --json | jq -r 'select(.type==\"finding\").message'
      one JSON object a line, for a program
  sudo tcptrace watch --fail-on warning -- curl -s http://127.0.0.1:8080/
      a test that fails when a connection of this command does";

/// What the help of `watch` ends with.
fn after_help() -> String {
    let settings = pattern::settings();
    let lines = settings.map(|setting| {
        let meaning = setting.meaning;
        format!("  {}={}\n      {meaning}\n", setting.key, setting.default)
    });
    format!("Threshold keys, with what holds when nothing is set:\n{}\n{NOTES}", lines.collect::<String>())
}

/// What to watch, and how to tell it.
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct WatchArgs {
    /// Port of either end: N, N-M, or several with commas
    #[arg(short, long, value_name = "PORTS", value_parser = value::ports, allow_hyphen_values = true, help_heading = FILTERS)]
    pub port: Option<Ports>,
    /// Local port
    #[arg(short = 'L', long, value_name = "PORTS", value_parser = value::ports, allow_hyphen_values = true, help_heading = FILTERS)]
    pub local_port: Option<Ports>,
    /// Remote port
    #[arg(short = 'D', long, value_name = "PORTS", value_parser = value::ports, allow_hyphen_values = true, help_heading = FILTERS)]
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
    #[arg(long, value_name = "PID", value_parser = value::pid, allow_hyphen_values = true, help_heading = FILTERS)]
    pub pid: Vec<u32>,
    /// Name of the process that owns either end, its first 15 bytes; may be repeated
    #[arg(long, value_name = "NAME", value_parser = value::comm, help_heading = FILTERS)]
    pub comm: Vec<String>,
    /// Network namespace: a path, a pid, or an inode number; may be repeated
    #[arg(long, value_name = "PATH|NUMBER", value_parser = value::namespace, help_heading = FILTERS)]
    pub netns: Vec<Namespace>,
    /// Cgroup in which a socket was made, or one above it: a directory of the
    /// hierarchy of version 2, or a path of it; may be repeated
    #[arg(long, value_name = "PATH", value_parser = value::cgroup, help_heading = FILTERS)]
    pub cgroup: Vec<Cgroup>,
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
    #[arg(long, overrides_with_all = ["format", "json"], help_heading = OUTPUT)]
    pub json: bool,
    /// For people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Text, overrides_with_all = ["format", "json"], help_heading = OUTPUT)]
    pub format: Format,
    /// More: -v the story of each finding, -vv what the verifier says,
    /// -vvv what the kernel programs do
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
    #[arg(long, value_name = "TIME", value_parser = value::positive_duration, allow_hyphen_values = true, help_heading = RUN)]
    pub duration: Option<Duration>,
    /// End after this many findings
    #[arg(long, value_name = "N", value_parser = value::positive, allow_hyphen_values = true, help_heading = RUN)]
    pub max_findings: Option<u64>,
    /// Exit with 5 when a finding is as severe
    #[arg(long, value_name = "SEVERITY", value_parser = value::severity, help_heading = RUN)]
    pub fail_on: Option<Severity>,
    /// Change a threshold of those below; may be repeated
    #[arg(long, value_name = "ID.KEY=VALUE", value_parser = value::threshold, help_heading = THRESHOLDS)]
    pub set: Vec<Threshold>,
    /// Take the kernel's events by auto, tracepoint, fentry or kprobe
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = value::backend, help_heading = RUN)]
    pub backend: Backend,
    /// The kernel's types (BTF), not from /sys/kernel/btf/vmlinux: a copy of that
    /// where it is hidden, or BTFHub's or pahole's file of this very kernel where
    /// it was built without; kernel probes are all that is left then
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub btf: Option<PathBuf>,
    /// Attach nothing that slows system calls; it says what is lost by that
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
    /// Take the kernel's events by auto, tracepoint, fentry or kprobe
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = value::backend)]
    pub backend: Backend,
    /// The kernel's types, not from /sys/kernel/btf/vmlinux; watch --help says which
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Make each situation happen on one path only; another number picks other paths
    #[arg(long, value_name = "TURN", hide = true)]
    pub once: Option<usize>,
    /// Make happen what needs limits of the whole host: for a virtual machine
    #[arg(long, hide = true)]
    pub own_host: bool,
    /// Write a line a situation and path, of fields between tabs
    #[arg(long, hide = true)]
    pub table: bool,
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
