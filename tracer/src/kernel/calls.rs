//! Attaches the program of system calls where it costs other calls least.

use super::probes::{Refusal, refusal};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError, TracePoint},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{path::Path, thread};

/// The tracepoints at the exit of each call, in one name.
pub(super) const EACH: &str = "sys_exit_*";
/// The tracepoint at the exit of all calls.
const ALL: &str = "sys_exit";

/// Where the kernel tells the numbers of its tracepoints, if somebody has mounted it.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Attaches the program at the exit of each call; where that cannot be had, its other form at the exit of all. Where it is
/// then, and its name; there it may have a second one.
pub(super) fn start(
    ebpf: &mut Ebpf,
    names: &[String],
    calls: &[&str],
    btf: &Btf,
) -> Result<(&'static str, Vec<String>), Refusal> {
    let first = names[0].clone();
    let Err(error) = at_each(ebpf, &first, calls) else { return Ok((EACH, vec![first])) };
    tracing::info!("tracepoints of single system calls: {error}");
    let names: Vec<_> = names.iter().map(|name| name.replacen(&first, &format!("{first}_raw"), 1)).collect();
    names.iter().try_for_each(|name| at_all(ebpf, name, btf)).map_err(|error| refusal(&error))?;
    Ok((ALL, names))
}

fn at_each(ebpf: &mut Ebpf, name: &str, calls: &[&str]) -> Result<(), ProgramError> {
    let Some(program) = ebpf.program_mut(name) else { return Err(ProgramError::NotLoaded) };
    let program: &mut TracePoint = program.try_into()?;
    program.load()?;
    let attached = with_tracefs(|| {
        calls.iter().try_for_each(|call| program.attach("syscalls", &format!("sys_exit_{call}")).map(|_| ()))
    });
    if attached.is_err() {
        // Some may be attached: all or none.
        program.unload()?;
    }
    attached
}

fn at_all(ebpf: &mut Ebpf, name: &str, btf: &Btf) -> Result<(), ProgramError> {
    let Some(program) = ebpf.program_mut(name) else { return Err(ProgramError::NotLoaded) };
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(ALL, btf)?;
    program.attach()?;
    Ok(())
}

/// Does something where tracefs is mounted: here, or on a thread that mounts it for itself alone.
fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Path::new(TRACEFS).join("events").exists() {
        return work();
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Where this is not allowed the work finds no tracefs, and says so.
            if let Err(errno) = mount_for_this_thread() {
                tracing::info!("mounting tracefs: {errno}");
            }
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_for_this_thread() -> nix::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted from here on must not reach the rest of the host.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), none)
}
