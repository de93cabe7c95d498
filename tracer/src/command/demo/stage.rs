//! The worlds in which the situations happen, made before the watcher starts so that it can be told of them.

use crate::lab::{
    actor::Program,
    case::{self, Case, Staged},
    path::{Medium, Path},
    world::World,
};
use anyhow::{Context, Result, anyhow};
use std::{sync::Arc, thread};

/// A namespace forgets orphans this soon, so that the end that closed is told of before the end that leaks.
const HASTY_FIN_TIMEOUT: &str = "5";

/// One situation and where it happens.
struct Scene {
    case: &'static Case,
    path: Path,
    world: Arc<World>,
}

/// Everything that will happen.
pub(super) struct Stage {
    worlds: Vec<Arc<World>>,
    scenes: Vec<Scene>,
}

impl Stage {
    /// Makes the worlds for the cases and paths that are wanted.
    pub(super) fn build(wanted: impl Fn(&Case, Path) -> bool) -> Result<Self> {
        let program = Program::this(&["__actor"]);
        let calm = Arc::new(World::new(program.clone()).context("making network namespaces")?);
        let hasty = Arc::new(World::new(program.clone()).context("making network namespaces")?);
        for side in [crate::lab::path::Side::A, crate::lab::path::Side::B] {
            hasty.namespace(side).set_sysctl("net.ipv4.tcp_fin_timeout", HASTY_FIN_TIMEOUT)?;
        }
        let mut stage = Self { worlds: vec![Arc::clone(&calm), Arc::clone(&hasty)], scenes: Vec::new() };
        for case in case::patterns().chain(case::decoys()) {
            for path in case.paths().filter(|path| wanted(case, *path)) {
                let world = if path.medium == Medium::Routed {
                    // The rules of a router are its case's own.
                    stage
                        .worlds
                        .push(Arc::new(World::with_router(program.clone()).context("making a router")?));
                    Arc::clone(stage.worlds.last().context("a world was made")?)
                } else if case.pattern == Some("peer_stuck_in_close_wait") {
                    Arc::clone(&hasty)
                } else {
                    Arc::clone(&calm)
                };
                if world.has(path) {
                    stage.scenes.push(Scene { case, path, world });
                }
            }
        }
        Ok(stage)
    }

    /// The worlds: as long as they are kept, nobody else's namespaces get their inode numbers.
    pub(super) fn worlds(&self) -> Vec<Arc<World>> {
        self.worlds.clone()
    }

    /// The inode numbers of all namespaces.
    pub(super) fn namespaces(&self) -> Vec<u32> {
        self.worlds.iter().flat_map(|world| world.inodes()).collect()
    }

    /// Whether every situation is one of this pattern.
    pub(super) fn only(&self, pattern: &str) -> bool {
        self.scenes.iter().all(|scene| scene.case.pattern == Some(pattern))
    }

    /// How many situations there will be.
    pub(super) fn len(&self) -> usize {
        self.scenes.len()
    }

    /// Makes everything happen, at once.
    pub(super) fn play(self) -> Result<Vec<Staged>> {
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .scenes
                .into_iter()
                .map(|scene| scope.spawn(move || scene.case.stage(scene.world, scene.path)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a situation panicked"))?)
                .collect()
        })
    }
}
