//! The lab: real processes with real sockets on two private hosts, for the demo and the live tests.
//!
//! Nothing here runs another program than this one, and nothing outlives it: hosts are network namespaces held
//! by descriptors ([`world`], [`namespace`]), the way between them can be bent ([`router`]), processes are this
//! program under another name ([`actor`]), and what happens between them is written down as cases ([`case`]),
//! each of which tells what a tracer has to find.

pub mod actor;
pub mod case;
mod diag;
mod link;
pub mod namespace;
mod nft;
pub mod packet;
pub mod path;
pub mod router;
pub mod world;

#[cfg(test)]
mod tests;
