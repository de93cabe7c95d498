//! Where records go. The reader of the ring never waits for an output: a full queue drops, and counts it.

pub mod text;

use bytes::Bytes;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::{Notify, mpsc};

/// Records that wait for a slow output; more are dropped.
const QUEUE: usize = 4_096;

/// Standard output behind a queue.
pub struct Output {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
    state: Arc<State>,
    /// Number of the last record, written or dropped.
    seq: u64,
    dropped: u64,
}

#[derive(Default)]
struct State {
    closed: AtomicBool,
    failed: AtomicU64,
    notify: Notify,
}

impl Output {
    /// Starts the writer.
    pub fn start() -> Self {
        let (queue, mut lines) = mpsc::channel::<Bytes>(QUEUE);
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let writer = thread::spawn(move || {
            let mut stdout = io::stdout().lock();
            while let Some(line) = lines.blocking_recv() {
                // One write a line, and at once: a reader of the pipe sees whole records.
                if let Err(error) = stdout.write_all(&line).and_then(|()| stdout.flush()) {
                    let quiet = error.kind() == io::ErrorKind::BrokenPipe;
                    shared.failed.store(u64::from(!quiet), Ordering::Relaxed);
                    shared.closed.store(true, Ordering::Relaxed);
                    shared.notify.notify_one();
                    return;
                }
            }
        });
        Self { queue, writer, state, seq: 0, dropped: 0 }
    }

    /// The number of the next record; it is used up even when the record is dropped, so that a gap shows.
    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Queues a record.
    pub fn send(&mut self, line: Bytes) {
        if self.queue.try_send(line).is_err() && !self.closed() {
            self.dropped += 1;
        }
    }

    /// How many records were dropped because the output was slow.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nobody reads any more.
    pub fn closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// Waits until nobody reads any more.
    pub fn until_closed(&self) -> impl Future<Output = ()> + use<> {
        let state = Arc::clone(&self.state);
        async move { state.notify.notified().await }
    }

    /// Writes what is queued and ends; whether all of it could be written (a closed pipe is no failure).
    pub fn finish(self) -> bool {
        drop(self.queue);
        let joined = self.writer.join().is_ok();
        joined && self.state.failed.load(Ordering::Relaxed) == 0
    }
}
