//! Processes start a few at a time: hundreds at once keep those from their turn that are in the midst of something.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::available_parallelism;

static STARTING: Mutex<usize> = Mutex::new(0);
static STARTED: Condvar = Condvar::new();

/// Leave to start a process, until this is dropped.
pub(super) struct Turn(());

impl Turn {
    /// Waits until fewer start than there are CPUs.
    pub(super) fn wait() -> Self {
        let most = available_parallelism().map_or(1, usize::from);
        let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = STARTED.wait_while(starting, |starting| *starting >= most);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *STARTING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        STARTED.notify_one();
    }
}
