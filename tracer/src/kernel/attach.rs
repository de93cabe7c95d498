//! Attaches one hook by the best means that are to be had.

use super::{
    btf, calls, functions,
    hooks::{Hook, Lack, Point},
    preload::load_one,
    probes::{Refusal, refusal},
    way::{Way, ways},
};
use crate::backend::Backend;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Program},
};
use tracer_common::layout::Numbers;

/// How a hook is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// By which means.
    pub way: Way,
    /// The kernel's event, or functions.
    pub point: String,
    /// What it does not show there, for a person; other means would, but are not to be had.
    pub lacks: Option<&'static str>,
    pub(super) programs: Vec<String>,
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// By which means.
    pub backend: Backend,
    /// Size of the ring, a power of two.
    pub ring_bytes: u32,
    /// Whether the programs write lines of their own.
    pub log: bool,
    /// Whether nothing is attached that makes system calls slower.
    pub no_syscalls: bool,
}

/// What the programs are loaded for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    /// They take pointers for numbers, and find what is kept by the address of a socket.
    pub(super) probed: bool,
    /// The kernel has its own types, to which tracepoints, iterators and trampolines are attached.
    pub(super) own_types: bool,
}

/// How the name of a hook's second program ends.
pub(super) const SECOND: &str = "_nested";

/// Whether the first thing that [`start`] tries for a hook is to load a program for its event.
pub(super) fn begins_with_event(
    hook: &Hook,
    options: Options,
    means: Means,
    numbers: &Numbers,
    types: &btf::Btf,
) -> bool {
    let event = match hook.point {
        Point::Tracepoint(name) => types.tracepoint_args(name).is_some(),
        Point::Iterator(..) => true,
        Point::Functions(_) | Point::Calls(_) => false,
    };
    event && ways_to(hook, options, means, numbers, types).first() == Some(&Way::Tracepoint)
}

/// The ways to try for a hook, best first.
fn ways_to(hook: &Hook, options: Options, means: Means, numbers: &Numbers, types: &btf::Btf) -> Vec<Way> {
    let absent = matches!(hook.point, Point::Tracepoint(name) if types.tracepoint_args(name).is_none());
    let probes = means.probed && functions::has_kernel_probes();
    let mut ways = ways(options.backend, hook, numbers, means.own_types && !absent, probes);
    if hook.taxes_calls && options.no_syscalls {
        ways.retain(|way| *way != Way::Tracepoint);
    }
    ways
}

/// Attaches a hook by the best means that are to be had.
pub(super) fn start(
    ebpf: &mut Ebpf,
    hook: &Hook,
    options: Options,
    means: Means,
    numbers: &Numbers,
    types: &btf::Btf,
    btf: &Btf,
) -> Result<Attached, Refusal> {
    let ways = ways_to(hook, options, means, numbers, types);
    let mut first = None;
    let ways_to_it = ways.len();
    for way in ways {
        match start_by(ebpf, hook, way, numbers, types, btf) {
            Ok(attached) if way == Way::Tracepoint => {
                let lacks = match (hook.lacks)(numbers) {
                    Some(Lack::Sight(lacks)) => Some(lacks),
                    _ => None,
                };
                return Ok(Attached { lacks, ..attached });
            }
            Ok(attached) => return Ok(attached),
            Err(refusal) => {
                tracing::info!("{} by {}: {}", hook.program, way.name(), refusal.why);
                // What is said last of all is that the event, which is the usual way, is not there either.
                first = Some(refusal);
            }
        }
    }
    if hook.taxes_calls && options.no_syscalls {
        return Err(Refusal::unwanted("left out by --no-syscalls"));
    }
    if ways_to_it == 0 && matches!(hook.point, Point::Functions(_)) {
        let none = !functions::has_kernel_probes();
        let why = if none {
            "only kernel probes show it, and this kernel has none"
        } else {
            "only kernel probes show it: --backend kprobe"
        };
        return Err(Refusal::unwanted(why));
    }
    Err(first.unwrap_or_else(|| Refusal::absent("there is no way to it".to_owned())))
}

fn start_by(
    ebpf: &mut Ebpf,
    hook: &Hook,
    way: Way,
    numbers: &Numbers,
    types: &btf::Btf,
    btf: &Btf,
) -> Result<Attached, Refusal> {
    let means = match way {
        Way::Tracepoint | Way::Iterator => return start_at_event(ebpf, hook, numbers, types, btf),
        Way::Fentry => functions::Means::Trampoline,
        Way::Kprobe => functions::Means::Probe,
    };
    let point = functions::start(ebpf, hook.functions, means, types, btf)?;
    let programs = hook.functions.iter().flat_map(|function| function.programs(means)).collect();
    Ok(Attached { way, point, lacks: None, programs })
}

fn start_at_event(
    ebpf: &mut Ebpf,
    hook: &Hook,
    numbers: &Numbers,
    types: &btf::Btf,
    btf: &Btf,
) -> Result<Attached, Refusal> {
    let mut attached = Attached {
        way: Way::Tracepoint,
        point: hook.point.name().to_owned(),
        lacks: None,
        programs: hook.programs(numbers).collect(),
    };
    match hook.point {
        Point::Tracepoint(name) => {
            if types.tracepoint_args(name).is_none() {
                return Err(Refusal::absent(format!("this kernel has no tracepoint {name}")));
            }
            for name in &attached.programs {
                let program = program(ebpf, name)?;
                let started = load_one(program, hook.point, btf)
                    .and_then(|()| <&mut BtfTracePoint>::try_from(program)?.attach());
                started.map_err(|error| refusal(&error))?;
            }
        }
        Point::Functions(name) => return Err(Refusal::absent(format!("no event tells of {name}"))),
        Point::Calls(calls) => {
            let (point, programs) = calls::start(ebpf, &attached.programs, calls, btf)?;
            (attached.point, attached.programs) = (point.to_owned(), programs);
        }
        Point::Iterator(name, members) => {
            let context = format!("bpf_iter__{name}");
            for (index, member) in members.iter().enumerate() {
                let place = types.member(&context, member).map(|member| member.offset_bytes as usize);
                if place != Some(index * 8) {
                    return Err(Refusal::absent(format!(
                        "this kernel has no iterator {name} of the known form"
                    )));
                }
            }
            load_one(program(ebpf, hook.program)?, hook.point, btf).map_err(|error| refusal(&error))?;
            attached.way = Way::Iterator;
        }
    }
    Ok(attached)
}

/// A program of the object.
fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, Refusal> {
    let found = ebpf.program_mut(name);
    found.ok_or_else(|| Refusal::absent("the program is not in the object".to_owned()))
}
