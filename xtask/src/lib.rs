//! How the kernel programs are built: the one piece of code that `tracer/build.rs` and `cargo xtask` share.
//!
//! [`object::Tools`] asks [`compiler`] for a rustc and [`linker`] for a bpf-linker, then runs a [`nested`] cargo in
//! a target directory that [`place`] names. What installs those two is in the binary of this crate.

pub mod compiler;
pub mod embed;
pub mod linker;
pub mod nested;
pub mod object;
pub mod place;
