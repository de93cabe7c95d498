//! The lab tried on the kernel at hand. Most of it needs root, and is skipped without.

mod actors;
mod cases;
mod counters;
mod routes;
mod sockets;
mod traces;

use std::sync::Arc;

use nix::unistd::Uid;

use super::actor::{Program, run};
use super::world::World;

/// This test binary, which plays an actor when only that test is asked for, on the main thread.
fn program() -> Program {
    Program::new(
        "/proc/self/exe",
        &["lab::tests::plays_an_actor", "--exact", "--ignored", "--nocapture", "--test-threads=1"],
    )
}

/// Whether `test` has to be skipped; says so.
fn skipped(test: &str) -> bool {
    let skip = !Uid::effective().is_root();
    if skip {
        eprintln!("SKIP {test}: network namespaces need root");
    }
    skip
}

fn world() -> Arc<World> {
    Arc::new(World::new(program()).expect("a world"))
}

fn routed_world() -> Arc<World> {
    Arc::new(World::with_router(program()).expect("a world with a router"))
}

#[test]
#[ignore = "not a test: other tests start it as a process of its own"]
fn plays_an_actor() {
    if let Err(error) = run() {
        eprintln!("SKIP plays_an_actor: {error:#}");
    }
}
