//! The commands: one verb a file.

pub mod demo;
pub mod doctor;
pub mod explain;
mod files;
pub mod list;
pub mod schema;
pub mod sockets;
pub mod watch;
