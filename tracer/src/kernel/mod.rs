//! The running kernel: what it is, what it allows, and what it tells.

pub mod attach;
pub mod btf;
mod calls;
pub mod cgroup;
pub mod clock;
pub mod counted;
pub mod functions;
pub mod hooks;
pub mod look;
pub mod namespace;
mod preload;
pub mod probes;
pub mod queues;
pub mod refusal;
pub mod rights;
pub mod vocabulary;
pub mod way;
