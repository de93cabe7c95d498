//! One run of the watcher, and everything that happens under it.

use crate::{
    book::{Book, Incident, boot_ns},
    plan::Scene,
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread,
    time::{Duration, Instant},
};
use tracer::{
    command::demo::{LEAK_AFTER, QUIET, stage::Worlds, verdict::contradictions, watcher::Watcher},
    lab::{actor::Actor, case::Staged, path::Side, world::World},
};

/// Situations at a time: some hold their processes for ten seconds, and two CPUs start a few dozen a second.
const SLOTS: usize = 40;
/// Something wrong that is told besides comes within this time.
const SETTLE: Duration = Duration::from_secs(1);
/// What was not told by then, with what is told after a threshold, is missed.
const PATIENCE: Duration = LEAK_AFTER.saturating_add(QUIET).saturating_add(QUIET);
/// A namespace that goes leaves its number to the next: for as long as a storm may go on in it, it stays.
const STORM: Duration = Duration::from_secs(11);
/// How long the watcher is waited for before the situations are looked at again.
const TICK: Duration = Duration::from_millis(10);

/// What a situation's thread says.
enum News {
    /// It has happened; who sends, lets its processes go.
    Happened(Box<Incident>, Sender<()>),
    /// It could not be made to happen, twice.
    Failed(String),
}

/// Worlds in which something has happened, with who stays there, and when it was over.
type Past = Mutex<VecDeque<(Instant, Vec<Actor>, Arc<World>)>>;

/// An incident that is held.
struct Held {
    number: usize,
    since: Instant,
    told: Option<Instant>,
    release: Sender<()>,
}

/// Makes the scenes happen under a watcher with these flags; what was told and what was not, and its `stop` record.
///
/// `namespaces` are those of the traffic beside it.
pub(crate) fn play(
    scenes: Vec<Scene>,
    worlds: &Worlds,
    namespaces: &[u32],
    program: &Path,
    flags: &[String],
) -> Result<(Book, Value)> {
    let mut watcher = Watcher::start(program, flags)?;
    let mut book = Book::default();
    book.own(namespaces.iter().copied());
    book.own(worlds.shared().iter().flat_map(|world| world.inodes()));
    let count = scenes.len();
    let queue = Mutex::new(scenes.into_iter());
    let past = Past::default();
    let (to, news) = channel();
    let end = thread::scope(|scope| {
        for _ in 0..SLOTS.min(count) {
            let (to, queue, past) = (to.clone(), &queue, &past);
            scope.spawn(move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(scene) = next() {
                    if !one(scene, worlds, past, &to) {
                        break;
                    }
                }
            });
        }
        drop(to);
        let end = watch(&mut watcher, &mut book, &news, count);
        // Whoever still waits is let go, and nothing new begins.
        drop(news);
        queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
        end
    });
    end?;
    let until = Instant::now() + SETTLE;
    while let Some(told) = watcher.next(until.saturating_duration_since(Instant::now()))? {
        book.told(told);
    }
    let (findings, stop) = watcher.stop()?;
    for told in findings {
        book.told(told);
    }
    book.close();
    Ok((book, stop))
}

/// Makes one situation happen and keeps it until it is let go; whether anybody still listens.
fn one(scene: Scene, worlds: &Worlds, past: &Past, to: &Sender<News>) -> bool {
    let stage = || -> Result<(Staged, Vec<Actor>, Arc<World>, u64)> {
        let world = worlds.of(scene.case, scene.path)?;
        // The watcher finds a namespace, and the kernel's counters of it, by its processes.
        let stay = |side| world.actor(side, "lab-holder");
        let holders = [Side::A, Side::B].into_iter().map(stay).collect::<Result<_>>()?;
        let began = boot_ns();
        Ok((scene.case.stage(Arc::clone(&world), scene.path)?, holders, world, began))
    };
    // A machine that is busy with dozens of others may be too slow for a step of it.
    match stage().or_else(|_| stage()) {
        Ok((staged, holders, world, began)) => {
            let incident = Box::new(Incident::of(&staged, began));
            let (release, released) = channel();
            let heard = to.send(News::Happened(incident, release)).is_ok();
            // An error lets it go as well.
            let _ = released.recv();
            staged.release();
            let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
            past.push_back((Instant::now(), holders, world));
            while past.pop_front_if(|(over, ..)| over.elapsed() > STORM).is_some() {}
            heard
        }
        Err(error) => to.send(News::Failed(format!("{}: {error:#}", scene.name()))).is_ok(),
    }
}

/// Listens to the watcher and to the situations until all of them are over.
fn watch(watcher: &mut Watcher, book: &mut Book, news: &Receiver<News>, count: usize) -> Result<()> {
    let mut held: Vec<Held> = Vec::new();
    let begun = Instant::now();
    let mut shown = begun;
    loop {
        if let Some(told) = watcher.next(TICK).context("listening to the watcher")? {
            book.told(told);
        }
        let over = loop {
            match news.try_recv() {
                Ok(News::Happened(incident, release)) => {
                    let (number, since) = (book.happened(*incident), Instant::now());
                    held.push(Held { number, since, told: None, release });
                }
                Ok(News::Failed(what)) => book.unstaged.push(what),
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        let done: Vec<Held> = held.extract_if(.., |incident| is_over(book, incident)).collect();
        for incident in done {
            book.over(incident.number);
            // Its thread waits for it.
            let _ = incident.release.send(());
        }
        if shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            let done = book.incidents.len() + book.unstaged.len();
            eprintln!("  {done} of {count} after {:.0} s", begun.elapsed().as_secs_f64());
        }
        if over {
            return Ok(());
        }
    }
}

/// Whether nothing more is to be expected.
fn is_over(book: &Book, held: &mut Held) -> bool {
    let Some(expected) = &book.incidents[held.number].expected else {
        return held.since.elapsed() > QUIET;
    };
    if held.told.is_none() {
        let right = |finding| contradictions(expected, finding).is_empty();
        let told = book.about(held.number).any(|heard| right(&heard.finding));
        held.told = told.then(Instant::now);
    }
    held.told.is_some_and(|told| told.elapsed() > SETTLE) || held.since.elapsed() > PATIENCE
}
