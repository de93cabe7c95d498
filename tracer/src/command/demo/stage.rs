//! The worlds in which the situations happen, made before the watcher starts so that it can be told of them.

use crate::lab::{
    actor::Program,
    case::{Case, Staged},
    path::{Medium, Path, Side},
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

/// Where situations happen: those that can, share a world.
pub struct Worlds {
    program: Program,
    calm: Arc<World>,
    hasty: Arc<World>,
}

impl Worlds {
    /// Makes the worlds that are shared; `program` plays the processes.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn new(program: Program) -> Result<Self> {
        let calm = Arc::new(World::new(program.clone()).context("making network namespaces")?);
        let hasty = Arc::new(World::new(program.clone()).context("making network namespaces")?);
        for side in [Side::A, Side::B] {
            hasty.namespace(side).set_sysctl("net.ipv4.tcp_fin_timeout", HASTY_FIN_TIMEOUT)?;
        }
        Ok(Self { program, calm, hasty })
    }

    /// The world for a case on this path, made for it where it needs one of its own.
    ///
    /// # Errors
    /// As [`World::with_router`].
    pub fn of(&self, case: &Case, path: Path) -> Result<Arc<World>> {
        if path.medium == Medium::Routed {
            // The rules of a router are its case's own.
            let world = World::with_router(self.program.clone()).context("making a router")?;
            Ok(Arc::new(world))
        } else if case.pattern == Some("peer_stuck_in_close_wait") {
            Ok(Arc::clone(&self.hasty))
        } else {
            Ok(Arc::clone(&self.calm))
        }
    }

    /// The worlds that are shared.
    pub fn shared(&self) -> [&Arc<World>; 2] {
        [&self.calm, &self.hasty]
    }
}

/// Everything that will happen.
pub(super) struct Stage {
    worlds: Vec<Arc<World>>,
    scenes: Vec<Scene>,
}

impl Stage {
    /// Makes the worlds for the cases and paths that are wanted.
    pub(super) fn build(cases: &[&'static Case], wanted: impl Fn(&Case, Path) -> bool) -> Result<Self> {
        let worlds = Worlds::new(Program::this(&["__actor"]))?;
        let mut stage = Self { worlds: worlds.shared().map(Arc::clone).to_vec(), scenes: Vec::new() };
        for case in cases.iter().copied() {
            for path in case.paths().filter(|path| wanted(case, *path)) {
                let world = worlds.of(case, path)?;
                if path.medium == Medium::Routed {
                    stage.worlds.push(Arc::clone(&world));
                }
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
