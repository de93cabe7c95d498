//! Where records go. The reader of the ring never waits for an output: a full queue drops, and counts it.

pub mod sockets;
pub mod text;
mod unbuffered;

use bytes::Bytes;
use std::{
    io::{ErrorKind, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};
use tokio::sync::{Notify, mpsc};
use unbuffered::Stdout;

/// Records that wait for a slow output; more are dropped.
const QUEUE: usize = 4_096;
/// How long the end of a run waits for a reader that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// An output behind a queue.
pub struct Output {
    queue: mpsc::Sender<Bytes>,
    state: Arc<State>,
    /// Hears from the writer when it has ended.
    ended: Receiver<()>,
    /// Number of the last record, written or dropped.
    seq: u64,
    dropped: u64,
}

#[derive(Default)]
struct State {
    closed: AtomicBool,
    failed: AtomicBool,
    /// Lines written.
    written: AtomicU64,
    notify: Notify,
}

impl Output {
    /// Starts the writer of standard output.
    pub fn start() -> Self {
        Self::new(Stdout, QUEUE)
    }

    /// Starts a writer with a queue of `capacity` lines and one more for the last. It has a thread of its own, for a
    /// write may block as long as a reader likes.
    fn new(mut to: impl Write + Send + 'static, capacity: usize) -> Self {
        let (queue, mut lines) = mpsc::channel::<Bytes>(capacity + 1);
        let (end, ended) = channel();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            while let Some(line) = lines.blocking_recv() {
                // One write a line, and at once: a reader of the pipe sees whole records.
                if let Err(error) = to.write_all(&line) {
                    shared.failed.store(error.kind() != ErrorKind::BrokenPipe, Ordering::Relaxed);
                    shared.closed.store(true, Ordering::Relaxed);
                    shared.notify.notify_one();
                    break;
                }
                shared.written.fetch_add(1, Ordering::Relaxed);
            }
            // Nobody hears it when the run has given up waiting.
            let _ = end.send(());
        });
        Self { queue, state, ended, seq: 0, dropped: 0 }
    }

    /// The number of the next record; it is used up even when the record is dropped, so that a gap shows.
    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Queues a record.
    pub fn send(&mut self, line: Bytes) {
        let room = self.queue.capacity() > 1;
        let sent = room && self.queue.try_send(line).is_ok();
        if !sent && !self.closed() {
            self.dropped += 1;
        }
    }

    /// Queues the last record of a run: there is always room for it.
    pub fn send_last(&mut self, line: Bytes) {
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

    /// Writes what is queued and ends; whether all of it could be written (a closed pipe is no failure). A reader
    /// that takes nothing for [`PATIENCE`] is given up.
    pub fn finish(self) -> bool {
        self.finish_within(PATIENCE)
    }

    fn finish_within(self, patience: Duration) -> bool {
        drop(self.queue);
        let mut before = self.state.written.load(Ordering::Relaxed);
        loop {
            match self.ended.recv_timeout(patience) {
                Ok(()) => return !self.state.failed.load(Ordering::Relaxed),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    let written = self.state.written.load(Ordering::Relaxed);
                    if written == before {
                        eprintln!(
                            "tcptrace: standard output takes nothing any more; what it had not taken is lost"
                        );
                        return false;
                    }
                    before = written;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Output;
    use bytes::Bytes;
    use std::{
        io::{self, ErrorKind, Write},
        sync::mpsc,
        time::Duration,
    };

    /// Tells of each write, and waits until it may go on.
    struct Gate {
        came: mpsc::Sender<Vec<u8>>,
        go: mpsc::Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.came.send(bytes.to_vec()).expect("the test listens");
            self.go.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Gate, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
        let (came, comes) = mpsc::channel();
        let (answer, go) = mpsc::channel();
        (Gate { came, go }, comes, answer)
    }

    fn send(output: &mut Output) {
        let line = format!("{}\n", output.next_seq());
        output.send(Bytes::from(line));
    }

    #[test]
    fn a_full_queue_drops_counts_and_leaves_a_gap_but_keeps_room_for_the_last() {
        let (gate, comes, answer) = gate();
        let mut output = Output::new(gate, 2);
        send(&mut output);
        let mut written = vec![comes.recv().expect("the first write")]; // in the writer's hands, not in the queue
        for _ in 0..5 {
            send(&mut output);
        }
        assert_eq!(output.dropped(), 3);
        let last = output.next_seq();
        output.send_last(Bytes::from(format!("{last}\n")));
        assert_eq!(output.dropped(), 3);
        for _ in 0..3 {
            answer.send(Ok(())).expect("the writer waits");
            written.push(comes.recv().expect("a queued line"));
        }
        answer.send(Ok(())).expect("the writer waits");
        assert!(output.finish());
        assert_eq!(written, [b"1\n", b"2\n", b"3\n", b"7\n"], "4 to 6 are the loss");
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_ends_it_quietly() {
        let (gate, comes, answer) = gate();
        let mut output = Output::new(gate, 2);
        send(&mut output);
        comes.recv().expect("a write");
        answer.send(Err(ErrorKind::BrokenPipe.into())).expect("the writer waits");
        output.until_closed().await;
        assert!(output.closed());
        send(&mut output);
        assert_eq!(output.dropped(), 0, "nobody is slow");
        assert!(output.finish());
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let (gate, comes, answer) = gate();
        let mut output = Output::new(gate, 2);
        send(&mut output);
        comes.recv().expect("a write");
        answer.send(Err(ErrorKind::StorageFull.into())).expect("the writer waits");
        assert!(!output.finish());
    }

    #[test]
    fn a_reader_that_takes_nothing_is_given_up() {
        let (gate, comes, _answer) = gate();
        let mut output = Output::new(gate, 2);
        send(&mut output);
        comes.recv().expect("a write");
        assert!(!output.finish_within(Duration::from_millis(10)));
    }
}
