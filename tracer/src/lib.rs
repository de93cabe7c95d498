//! tcptrace tells why a TCP connection failed.
//!
//! Data flows one way, and imports do too (`tests/layers.rs` holds it so):
//!
//! ```text
//! kernel hook -> ring -> kernel::ring -+
//!                recording ------------+-> decode -> engine (table, patterns) -> finding -> enrich -> record -> output
//!                                                       ^ time comes from records and `advance(now)` alone
//! ```
#![forbid(unsafe_code)]

pub mod backend;
pub mod cli;
pub mod command;
pub mod death;
pub mod decode;
pub mod engine;
pub mod enrich;
pub mod errno;
pub mod event;
pub mod filter;
pub mod finding;
pub mod kernel;
pub mod lab;
pub mod live;
pub mod name;
pub mod output;
pub mod pattern;
pub mod record;
pub mod recording;
pub mod scenario;
pub mod sockopt;
pub mod terminal;
pub mod time;
