//! Loads programs side by side: verifying them takes most of a start, and the kernel does that on any CPU.

use super::hooks::{Hook, Point};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Iter, Program, ProgramError},
};
use std::{collections::HashMap, num::NonZero, sync::Mutex, thread};
use tracer_common::layout::Numbers;

/// Threads at most: a few programs take half of the time.
const THREADS: usize = 4;

/// Loads the programs at the events of these hooks, the first ones first. What fails is tried again, and told of, when its
/// hook is attached.
pub(super) fn load(ebpf: &mut Ebpf, hooks: &[&Hook], numbers: &Numbers, btf: &Btf) {
    let points = hooks.iter().flat_map(|hook| hook.programs(numbers).map(|name| (name, hook.point)));
    let points: HashMap<_, _> =
        points.enumerate().map(|(order, (name, point))| (name, (order, point))).collect();
    let wanted = ebpf.programs_mut().filter_map(|(name, program)| Some((points.get(name)?, program)));
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_unstable_by_key(|((order, _), _)| *order);
    let waiting = Mutex::new(wanted.into_iter());
    let work = || {
        // The lock is not held meanwhile.
        while let Some(((_, point), program)) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
            if let Err(error) = load_one(program, *point, btf) {
                tracing::debug!("loading a program for {}: {error}", point.name());
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without threads this one does it all.
            let _ = thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
}

/// Loads a program, unless that was done.
pub(super) fn load_one(program: &mut Program, point: Point, btf: &Btf) -> Result<(), ProgramError> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match point {
        Point::Tracepoint(name) => <&mut BtfTracePoint>::try_from(program)?.load(name, btf),
        Point::Iterator(name, _) => <&mut Iter>::try_from(program)?.load(name, btf),
        // Other means load these.
        Point::Functions(_) | Point::Calls(_) => Ok(()),
    }
}
