//! What is done, again and again, to see how much longer it takes beside tcptrace.

use anyhow::Result;
use std::time::Duration;

/// A bounded piece of work that can be repeated.
pub(crate) trait Load {
    /// Does it once.
    ///
    /// # Errors
    /// When it fails, or has not ended after [`DEADLINE`].
    fn run(&self) -> Result<Outcome>;
}

/// Every load is far shorter, however slow the machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// What a load did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// What it is made of, counted: connections, calls, requests, bytes.
    pub(crate) units: f64,
    /// From the beginning of the first to the end of the last.
    pub(crate) took: Duration,
    /// CPU time of all its threads and processes; what loopback does for them is done in their name.
    pub(crate) cpu: Duration,
}
