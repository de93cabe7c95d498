//! The running kernel as a source: one task owns the ring, the decoding and the engine, without locks.

mod answers;
mod balance;
mod books;
mod cgroups;
mod losses;
mod own;
mod polls;
mod share;
mod totals;

pub use balance::{Balance, Balances};
pub use books::{Reconciled, Reconciliation};
pub use totals::Totals;

use crate::{
    decode::{Malformed, decode},
    engine::{Engine, Polling},
    event::{Event, What},
    finding::Finding,
    kernel::{
        clock,
        look::{self, Looks},
        probes::Probes,
    },
    recording::Writer,
    time::Time,
};
use anyhow::{Context, Result};
use aya::maps::{MapData, RingBuf};
use books::Books;
use cgroups::Sights;
use own::header;
use polls::Polls;
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};
use tracer_common::{
    counter::{Cell, Counter},
    record::{Header, Kind, clock::Clock},
};
use zerocopy::{Immutable, IntoBytes};

/// While records come, those that wake nobody are fetched this often …
const BUSY_TICK: Duration = Duration::from_millis(10);
/// … for this long after the last one; then twice a second.
const BUSY_FOR: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_millis(500);
/// Records that are taken from the ring before the engine sees the first of them.
const BATCH: usize = 2_048;
/// How often the clocks are compared.
const CLOCK_PERIOD: Duration = Duration::from_secs(1);

/// What the source tells.
pub enum Told {
    /// Something went wrong with a connection.
    Finding(Box<Finding>),
    /// Something happened.
    Event(Box<Event>),
    /// A cgroup has this path: one of version 2 by its number; without one, of a process in the older hierarchies.
    #[expect(missing_docs, reason = "fields are named as what they hold")]
    Cgroup { id: Option<u64>, pid: u32, at: Time, path: Box<[u8]> },
}

/// The source and the engine it feeds.
pub struct Live {
    probes: Probes,
    ring: AsyncFd<RingBuf<MapData>>,
    engine: Engine,
    looks: Looks,
    polls: Polls,
    books: Option<Books>,
    sights: Sights,
    recorder: Option<Writer<BufWriter<File>>>,
    told: Vec<Told>,
    /// Whether events are told, too.
    events: bool,
    offset: clock::Offset,
    hz: u32,
    known: BTreeMap<(u32, usize), Cell>,
    received: u64,
    malformed: u64,
    busy_until: Option<Instant>,
    clock_due: Instant,
    /// Skipped runs, and when they were last asked for.
    misses: (u64, Time, Instant),
}

impl Live {
    /// Takes over the attached programs.
    ///
    /// # Errors
    /// When the ring cannot be polled or the clocks not be read.
    pub fn new(
        mut probes: Probes,
        engine: Engine,
        looks: Looks,
        polling: Polling,
        recorder: Option<Writer<BufWriter<File>>>,
        events: bool,
        hz: u32,
    ) -> Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the ring keeps its descriptor as long as it lives"
        )]
        let ring =
            AsyncFd::with_interest(probes.take_ring(), Interest::READABLE).context("polling the ring")?;
        let polls = Polls::new(polling, probes.reconcile(), engine.poll_period(), engine.poll_share());
        let books = probes.reconcile().then(Books::new);
        let offset = clock::offset().context("reading the clocks")?;
        Ok(Self {
            probes,
            ring,
            engine,
            looks,
            polls,
            books,
            sights: Sights::default(),
            recorder,
            told: Vec::new(),
            events,
            offset,
            hz,
            known: BTreeMap::new(),
            received: 0,
            malformed: 0,
            busy_until: None,
            clock_due: Instant::now(),
            misses: (0, clock::now(), Instant::now()),
        })
    }

    /// Marks the sockets that exist, and learns who owns them; the number of sockets that are older than this.
    ///
    /// # Errors
    /// When a namespace or the descriptors could not be read; what was read until then counts.
    pub fn scan(&mut self) -> Result<u64> {
        self.scan_cgroups()?;
        let records = look::samples(&mut self.probes, &mut self.looks)?;
        self.feed_all(&records)?;
        self.look_for_holders()?;
        self.prime_queues();
        self.open_books(false);
        Ok(self.totals()?.kernel.get(Counter::Scanned.name()).copied().unwrap_or(0))
    }

    /// Waits for records or for time to pass, handles both, and gives what there is to tell.
    ///
    /// # Errors
    /// When the ring, a counter or the recording fails.
    pub async fn next(&mut self) -> Result<Vec<Told>> {
        let wait = self.until_next();
        tokio::select! {
            ready = self.ring.readable_mut() => {
                let mut guard = ready.context("waiting for the ring")?;
                // Cleared before the drain: a record that comes in between wakes again.
                guard.clear_ready();
            }
            () = sleep(wait) => {}
        }
        self.step()
    }

    /// Handles everything that is there now.
    ///
    /// # Errors
    /// When the ring, a counter or the recording fails.
    pub fn step(&mut self) -> Result<Vec<Told>> {
        let drained = self.drain()?;
        self.probes.flush_log();
        if drained > 0 {
            self.busy_until = Some(Instant::now() + BUSY_FOR);
        }
        self.note_losses()?;
        if drained > 0 {
            self.note_misses()?;
        }
        if Instant::now() >= self.clock_due {
            self.clock_due = Instant::now() + CLOCK_PERIOD;
            self.offset = clock::offset()?;
            self.tell_clock()?;
        }
        self.advance()?;
        self.serve()?;
        self.poll()?;
        Ok(self.take_told())
    }

    /// Fetches what is left, judges what is open, and ends the run.
    ///
    /// # Errors
    /// When the ring, a counter or the recording fails.
    pub fn finish(&mut self) -> Result<Vec<Told>> {
        self.drain()?;
        self.probes.flush_log();
        self.note_losses()?;
        self.advance()?;
        self.looks.hurry();
        self.serve()?;
        self.engine.finish();
        if let Some(recorder) = &mut self.recorder {
            recorder.flush()?;
        }
        Ok(self.take_told())
    }

    /// Wall clock minus boot clock, in nanoseconds, as last read.
    pub fn wall_minus_boot_ns(&self) -> i64 {
        self.offset.wall_minus_boot_ns
    }

    /// The programs.
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    fn until_next(&self) -> Duration {
        let busy = self.busy_until.is_some_and(|until| Instant::now() < until);
        let tick = if busy { BUSY_TICK } else { IDLE_TICK };
        let deadline = self.engine.next_deadline();
        let judged = if deadline == Time::NEVER { tick } else { deadline.since(clock::now()) };
        let looked = self.looks.holders_in().unwrap_or(tick);
        // An engine that is late already is served by the next tick of the timer, not by spinning.
        judged.min(looked).clamp(Duration::from_millis(1), tick)
    }

    /// Handles every record that is there. The ring is emptied in batches before the engine sees them, so that
    /// a slow judgement does not make the kernel lose records.
    fn drain(&mut self) -> Result<usize> {
        let mut drained = 0;
        loop {
            let mut batch = Vec::with_capacity(64);
            while batch.len() < BATCH {
                let Some(record) = self.ring.get_mut().next() else { break };
                batch.push(decode(&record));
                if let Some(recorder) = &mut self.recorder {
                    recorder.frame(&record)?;
                }
            }
            if batch.is_empty() {
                return Ok(drained);
            }
            drained += batch.len();
            for decoded in batch {
                self.take(decoded)?;
            }
        }
    }

    fn feed_all(&mut self, mut records: &[u8]) -> Result<()> {
        while let Some(length) = Header::length_of(records) {
            let (record, rest) = records.split_at(length);
            self.feed(record)?;
            records = rest;
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.record(bytes)?;
        self.take(decode(bytes))
    }

    /// Takes one of the kernel's records.
    fn take(&mut self, decoded: Result<Event, Malformed>) -> Result<()> {
        self.received += 1;
        let Ok(event) = decoded else {
            self.malformed += 1;
            return Ok(());
        };
        self.note_cgroups(&event)?;
        if self.events && told_as_event(&event.what) {
            self.told.push(Told::Event(Box::new(event.clone())));
        }
        self.engine.ingest(event);
        Ok(())
    }

    fn tell_clock(&mut self) -> Result<()> {
        let clock = Clock {
            header: header::<Clock>(Kind::Clock, 0),
            wall_minus_boot_ns: self.offset.wall_minus_boot_ns,
            hz: self.hz,
            reserved: 0,
        };
        self.feed_own(&clock)
    }

    /// Feeds a record of this process' own making.
    fn feed_own<R: IntoBytes + Immutable>(&mut self, record: &R) -> Result<()> {
        let bytes = record.as_bytes();
        self.record(bytes)?;
        if let Ok(event) = decode(bytes) {
            self.engine.ingest(event);
        }
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> Result<()> {
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.frame(bytes))
    }

    /// Lets the engine's time pass; a recording keeps when that was.
    fn advance(&mut self) -> Result<()> {
        let tick = header::<Header>(Kind::Tick, 0);
        if self.recorder.is_some() {
            self.record(tick.as_bytes())?;
        }
        self.engine.advance(Time(tick.at_ns));
        for finding in self.engine.take_findings() {
            self.told.push(Told::Finding(Box::new(finding)));
        }
        Ok(())
    }

    fn take_told(&mut self) -> Vec<Told> {
        for finding in self.engine.take_findings() {
            self.told.push(Told::Finding(Box::new(finding)));
        }
        std::mem::take(&mut self.told)
    }
}

/// Whether something happened, rather than was looked up.
fn told_as_event(what: &What) -> bool {
    matches!(
        what,
        What::StateChange { .. }
            | What::ResetSent { .. }
            | What::ResetReceived { .. }
            | What::Error { .. }
            | What::SendFailed { .. }
            | What::ReceiveFailed { .. }
            | What::Retransmit { .. }
            | What::Called(_)
            | What::BrokenPipe { .. }
            | What::Exit { .. }
    )
}
