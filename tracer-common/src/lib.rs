//! What crosses the boundary between the kernel programs and the daemon: records, settings, counters.
//!
//! Every type here is plain memory of a fixed layout (`repr(C)`, no padding), so that a record is read by
//! checking its length alone.
#![no_std]
#![forbid(unsafe_code)]

pub mod counter;
pub mod layout;
pub mod reconcile;
pub mod record;
pub mod settings;
pub mod state;

pub use state::State;

/// Version of everything in this crate; a recording names the version it was made with.
pub const ABI_VERSION: u32 = 1;
