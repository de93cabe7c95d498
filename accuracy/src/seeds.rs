//! The main measurement: every situation of the lab, shuffled and concurrent, with ordinary traffic beside it.

use crate::{
    ACTOR, Arguments,
    counters::{Counters, EXPLAINED},
    plan::{self, Scene},
    round,
    score::{EACH, OVERALL, Sheet},
    table,
    traffic::Background,
};
use anyhow::{Context, Result, ensure};
use std::{fs, time::Instant};
use tracer::{
    command::demo::{self, SILENT, stage::Worlds, watcher},
    lab::{
        actor::Program,
        case::{self, Case},
        path::{Medium, Path},
    },
};

/// Whether every goal was met.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    for id in &arguments.pattern {
        ensure!(case::patterns().any(|case| case.pattern == Some(id)), "nothing makes {id} happen");
    }
    let background = Background::start(&arguments.traffic).context("starting the traffic beside it")?;
    let mut sheet = Sheet::default();
    let mut counters = Counters::default();
    let begun = Instant::now();
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        one(seed, arguments, &background, &mut sheet, &mut counters)
            .with_context(|| format!("seed {seed}"))?;
    }
    let traffic = background.stop()?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let mut missed = sheet.missed();
    missed.extend(counters.missed());
    let text = format!(
        "{}\n{}\n{}{traffic}\n{}",
        table::table(&sheet),
        counters.table(),
        table::remarks(&sheet),
        if missed.is_empty() {
            "Every goal is met.\n".to_owned()
        } else {
            format!("Goals missed: {}.\n", missed.join("; "))
        }
    );
    println!("{text}");
    eprintln!("accuracy: {minutes:.1} minutes");
    if let Some(document) = arguments.document.as_ref().filter(|_| arguments.are_defaults()) {
        fs::write(document, page(arguments, &text))
            .with_context(|| format!("writing {}", document.display()))?;
    }
    Ok(missed.is_empty())
}

/// One seed: first what needs a threshold that no other situation could stand, then everything else.
fn one(
    seed: u64,
    arguments: &Arguments,
    background: &Background,
    sheet: &mut Sheet,
    counters: &mut Counters,
) -> Result<()> {
    let new_worlds = || Worlds::new(Program::this(&[ACTOR]));
    let mut worlds = new_worlds()?;
    let can = |path: Path| worlds.shared()[0].has(Path::new(Medium::Loopback, path.family));
    let wanted = |case: &Case| {
        arguments.pattern.is_empty()
            || case.pattern.is_some_and(|id| arguments.pattern.iter().any(|wanted| wanted == id))
    };
    let scenes = plan::scenes(seed, arguments.per_id.into(), wanted, can);
    let (silent, others): (Vec<Scene>, Vec<Scene>) =
        scenes.into_iter().partition(|scene| scene.case.pattern == Some(SILENT));
    for (scenes, is_silent) in [(silent, true), (others, false)] {
        if scenes.is_empty() {
            continue;
        }
        eprintln!("seed {seed}: {} situations", scenes.len());
        let flags = demo::thresholds(is_silent);
        let namespaces = background.namespaces();
        // A watcher takes what the kernel has counted in a namespace that it finds later for its own time's.
        worlds = new_worlds()?;
        let (book, stop) = round::play(scenes, &worlds, &namespaces, &arguments.program, &flags)?;
        counters.add(&stop, |namespace| book.owns(namespace))?;
        for (problem, findings) in sheet.add(&book, watcher::lost_by_cause(&stop)) {
            eprintln!("  {problem}");
            for finding in findings.iter().filter(|_| arguments.verbose) {
                eprintln!("    {finding}");
            }
        }
    }
    Ok(())
}

/// The table with what one has to know to read it.
fn page(arguments: &Arguments, text: &str) -> String {
    let seeds: Vec<String> =
        (arguments.seed..arguments.seed + arguments.seeds).map(|seed| seed.to_string()).collect();
    format!(
        "# How often it is right\n\n\
         `cargo xtask accuracy` writes this page. Machine: {}. Seeds: {}; at least {} incidents of each pattern for \
         each.\n\n\
         The situations of the lab (`tracer/src/lab/case`), each on every path it knows: loopback, between two hosts, \
         through a router; IPv4, IPv6, and IPv4 through IPv6 sockets. They are shuffled and happen at the same time, \
         dozens at once, beside decoys and ordinary traffic of nginx, Redis and PostgreSQL in namespaces of their own, \
         under one `tcptrace watch --json` without filters; with default thresholds, but for those of `tcptrace demo`, \
         which shorten {} and `zero_window_stall.after` to seconds and let ends wait half a second for each other \
         (`join.hold`). `{SILENT}` needs seconds of silence to count, and so a watcher of its own.\n\n\
         What had to be told is what the calls of the situation's own processes returned. Each of its findings must name \
         it as its `pattern`: recall. A finding of warning or above (of info, too, where that is what had to be told) \
         that is about nothing that happened, or names another pattern than happened and may hold beside it, is false: \
         precision. A process is right when both ends are; what is not told though it could be is absent. `also` is \
         right when it names nothing but what may hold as well. Latency is from the end of the situation, when its last \
         call has returned, to the arrival of the line at the reader, and 0 where it came before; of what is told after \
         a threshold it is mostly that threshold, and of what a process is told a second time, `storm.window`.\n\n\
         The second table sets what the kernel itself has counted in the lab's namespaces and those of the traffic against \
         what the watcher saw there, as its `stop` record tells.\n\n\
         Goals: recall, precision, right process and right errno ≥ {:.0} % overall; recall and precision of each pattern \
         ≥ {:.0} %; of each of the kernel's counters, {:.0} % explained; nothing lost.\n\n{text}",
        arguments.machine,
        seeds.join(", "),
        arguments.per_id,
        "`close_wait_leak.after`",
        OVERALL * 100.0,
        EACH * 100.0,
        EXPLAINED * 100.0,
    )
}
