//! Writes what there is to tell, in the format that was asked for.

use super::{json, reconciled};
use crate::{
    cli::watch::WatchArgs,
    enrich::{self, Places},
    filter::Filter,
    finding::{Finding, Severity},
    kernel::{clock, rights::Rights},
    live::{Live, Told},
    output::{
        Output,
        text::{Detail, Form},
    },
    pattern::settings,
    record::{
        self, Stamp,
        event::EventRecord,
        finding::{FindingRecord, Processes},
        run::{Counts, LossRecord, Probe, ProbeTime, Start, Stats, Stop},
    },
    terminal,
};
use anyhow::{Context, Result};
use hashbrown::HashMap;
use jiff::tz::TimeZone;
use nix::sys::resource::{UsageWho, getrusage};
use std::{collections::BTreeMap, io::IsTerminal};
use tracer_common::counter::Counter;

/// Tells findings, events and counts.
pub(super) struct Teller {
    output: Output,
    json: bool,
    form: Form,
    filter: Filter,
    stamp: Stamp,
    reasons: HashMap<i32, String>,
    places: Places,
    findings: u64,
    worst: Option<Severity>,
    quiet: bool,
    probe_stats: bool,
}

impl Teller {
    pub(super) fn new(arguments: &WatchArgs, filter: Filter, reasons: HashMap<i32, String>) -> Result<Self> {
        let host = nix::unistd::gethostname().context("asking for the host's name")?;
        let detail = match (arguments.quiet, arguments.verbose) {
            (true, _) => Detail::Line,
            (false, 0) => Detail::Message,
            (false, _) => Detail::Story,
        };
        let form = Form {
            detail,
            columns: terminal::columns(),
            colours: terminal::colours(arguments.no_color),
            zone: TimeZone::system(),
        };
        Ok(Self {
            output: Output::start(),
            json: json(arguments),
            form,
            filter,
            stamp: Stamp {
                wall_minus_boot_ns: clock::offset()?.wall_minus_boot_ns,
                host: crate::name::printable(host.as_encoded_bytes()),
            },
            reasons,
            places: Places::new(Rights::read()?.initial_pid_namespace),
            findings: 0,
            worst: None,
            quiet: arguments.quiet,
            probe_stats: arguments.probe_stats,
        })
    }

    /// How many findings were told.
    pub(super) fn findings(&self) -> u64 {
        self.findings
    }

    /// The worst of them.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.worst
    }

    /// Waits until nobody reads any more.
    pub(super) fn until_closed(&self) -> impl Future<Output = ()> + use<> {
        self.output.until_closed()
    }

    /// Says that everything is attached.
    pub(super) fn start(
        &mut self,
        arguments: &WatchArgs,
        live: &Live,
        probes: Vec<Probe>,
        scanned: u64,
    ) -> Result<()> {
        self.stamp.wall_minus_boot_ns = live.wall_minus_boot_ns();
        if !self.json {
            if !self.quiet && std::io::stderr().is_terminal() {
                eprintln!("watching ({scanned} sockets are older); Ctrl-C ends");
            }
            return Ok(());
        }
        let chosen = |key: &str| arguments.set.iter().rev().find(|threshold| threshold.key == key);
        let thresholds = settings().map(|setting| {
            let value = chosen(setting.key).map_or(setting.default, |threshold| threshold.value);
            (setting.key, value.to_string())
        });
        let seq = self.output.next_seq();
        let start = Start {
            common: self.stamp.common("start", seq, clock::now()),
            version: env!("CARGO_PKG_VERSION"),
            kernel: super::kernel_release(),
            backend: "tracepoint",
            probes,
            filters: filters(),
            thresholds: thresholds.collect(),
            ring_size: arguments.ring_size,
            scanned,
        };
        self.output.send(record::line(&start)?);
        Ok(())
    }

    /// Tells one thing, if the filters want it.
    pub(super) fn tell(&mut self, told: Told, wall_minus_boot_ns: i64) -> Result<()> {
        self.stamp.wall_minus_boot_ns = wall_minus_boot_ns;
        match told {
            Told::Finding(finding) => {
                if self.filter.wants(&finding) {
                    self.finding(&finding)?;
                }
            }
            Told::Cgroup { id: Some(id), path, .. } => self.places.made(id, &path),
            Told::Cgroup { id: None, pid, at, path } => self.places.seen(pid, at, &path),
            Told::Event(event) if !self.filter.wants_event(&event) => {}
            Told::Event(event) if self.json => {
                let seq = self.output.next_seq();
                if let Some(record) = EventRecord::new(&event, seq, &self.stamp, &self.reasons) {
                    self.output.send(record::line(&record)?);
                }
            }
            Told::Event(event) => {
                if let Some(record) = EventRecord::new(&event, 0, &self.stamp, &self.reasons) {
                    self.output.send(self.form.event(&record, &self.stamp, event.at).into());
                }
            }
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Finding) -> Result<()> {
        self.findings += 1;
        self.worst = self.worst.max(Some(finding.severity));
        if !self.json {
            self.output.send(self.form.finding(finding, &self.stamp).into());
            return Ok(());
        }
        let owners = [finding.local.owner, finding.peer.as_ref().and_then(|peer| peer.owner)];
        let facts = owners.into_iter().flatten().map(|owner| {
            (owner.pid, enrich::process(owner.pid, owner.place.cgroup, finding.at, &self.places))
        });
        let processes: Processes = facts.collect();
        let seq = self.output.next_seq();
        self.output.send(FindingRecord::new(finding, seq, &self.stamp, &processes).line()?);
        Ok(())
    }

    /// Tells the counts so far.
    pub(super) fn stats(&mut self, live: &Live) -> Result<()> {
        if self.json {
            let counts = self.counts(live)?;
            let seq = self.output.next_seq();
            let common = self.stamp.common("stats", seq, clock::now());
            self.output.send(record::line(&Stats { common, counts })?);
        }
        Ok(())
    }

    /// Tells how it ended and writes what is queued; whether everything could be written.
    pub(super) fn stop(&mut self, live: &Live, why: &'static str) -> Result<bool> {
        let counts = self.counts(live)?;
        if self.json {
            let seq = self.output.next_seq();
            let common = self.stamp.common("stop", seq, clock::now());
            self.output.send_last(record::line(&Stop { common, why, counts })?);
        } else if !self.quiet {
            let lost: u64 = counts.lost.values().sum();
            let more = if lost > 0 { "; findings marked `not certain` may lack what was lost" } else { "" };
            let findings = if self.findings == 1 { "finding" } else { "findings" };
            eprintln!(
                "{} {findings}, {lost} records lost of {}{more}",
                self.findings,
                counts.delivered + lost
            );
            for line in reconciled::lines(live.totals()?.reconciliation.unwrap_or_default()) {
                eprintln!("{line}");
            }
        }
        let output = std::mem::replace(&mut self.output, Output::start());
        Ok(output.finish())
    }

    fn counts(&self, live: &Live) -> Result<Counts> {
        let totals = live.totals()?;
        let pick = |wanted: fn(Counter) -> bool| -> BTreeMap<&'static str, u64> {
            let named = Counter::ALL.iter().filter(|counter| wanted(**counter)).map(|counter| counter.name());
            named.map(|name| (name, totals.kernel.get(name).copied().unwrap_or(0))).collect()
        };
        let mut lost = pick(Counter::is_loss);
        lost.insert("recursion", totals.recursion_misses);
        let suppressed = pick(Counter::is_suppressed);
        let delivered = totals.kernel.get(Counter::Delivered.name()).copied().unwrap_or(0);
        // Without memory for a socket's past its events are told all the same.
        let unsent = [Counter::RingFull, Counter::Recursion].map(|counter| lost[counter.name()]);
        let size = |number: usize| number as u64;
        let load = &totals.engine;
        let usage = getrusage(UsageWho::RUSAGE_SELF).context("asking for CPU time")?;
        let seconds = |time: nix::sys::time::TimeVal| {
            std::time::Duration::new(time.tv_sec().unsigned_abs(), 0).as_secs_f64()
                + std::time::Duration::from_micros(time.tv_usec().unsigned_abs()).as_secs_f64()
        };
        let probe_times = || {
            let times = live.probes().run_times().into_iter();
            times.map(|(name, ns, runs)| (name, ProbeTime { runs, ns })).collect()
        };
        Ok(Counts {
            seen: delivered + unsent.iter().sum::<u64>() + suppressed.values().sum::<u64>(),
            delivered,
            received: totals.received,
            lost,
            losses: totals
                .losses
                .iter()
                .map(|(counter, cpu, cell)| LossRecord {
                    cause: counter.name(),
                    cpu: *cpu,
                    count: cell.count,
                    first_time: self.stamp.wall(crate::time::Time(cell.first_ns)),
                    last_time: self.stamp.wall(crate::time::Time(cell.last_ns)),
                })
                .collect(),
            losses_cut: None,
            suppressed,
            malformed: totals.malformed,
            findings: load.findings.clone(),
            tables: [
                ("connections", size(load.ends)),
                ("parked", size(load.parked)),
                ("listeners", size(load.listeners)),
                ("cases", size(load.cases)),
            ]
            .into(),
            evictions: [
                ("connections", load.evicted_ends),
                ("parked", load.evicted_parked),
                ("cases", load.evicted_cases),
            ]
            .into(),
            looks_skipped: load.looks_skipped,
            dropped: [("stdout", self.output.dropped())].into(),
            user_cpu_seconds: seconds(usage.user_time()),
            system_cpu_seconds: seconds(usage.system_time()),
            reconciliation: totals.reconciliation.as_ref().map(reconciled::record),
            probes: self.probe_stats.then(probe_times),
        })
    }
}

/// The flags of this run, as they were given.
fn filters() -> Vec<String> {
    let flags = std::env::args_os().skip(2).take_while(|argument| argument != "--");
    flags.map(|flag| crate::name::printable(flag.as_encoded_bytes())).collect()
}
