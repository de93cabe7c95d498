//! What `cargo xtask bench` is made of: the load, the daemon under it, the clock, and the sums.

pub(crate) mod counts;
pub(crate) mod machine;
pub(crate) mod round;
pub(crate) mod series;
pub(crate) mod storm;
pub(crate) mod table;
pub(crate) mod watcher;
