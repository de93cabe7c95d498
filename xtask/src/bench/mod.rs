//! What `cargo xtask bench` is made of: the loads, the daemon beside them, the clock, and the sums.

pub(crate) mod counts;
mod engine;
mod floods;
pub(crate) mod growth;
mod latency;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod part;
mod peers;
mod polling;
pub(crate) mod process;
mod ring;
pub(crate) mod round;
pub(crate) mod series;
mod start;
pub(crate) mod storm;
pub(crate) mod storms;
pub(crate) mod table;
pub(crate) mod trial;
pub(crate) mod unrelated;
pub(crate) mod watcher;
