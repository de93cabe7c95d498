//! Attaches programs to functions of the kernel: at their start or end (fentry, fexit), or by kernel probes there.

use super::{
    btf::{self, BtfError},
    probes::{Refusal, refusal},
};
use aya::{
    Btf, Ebpf,
    programs::{FEntry, FExit, KProbe, ProgramError},
};
use std::path::Path;

/// A function that a program can be attached to.
#[derive(Debug)]
pub struct Function {
    /// What its programs' names begin with.
    program: &'static str,
    /// What kernels call it: the first that is there.
    names: &'static [&'static str],
    ends: Ends,
    /// What the types of its first parameters must contain: the programs take them by their place.
    takes: &'static [&'static str],
    /// Whether it must have no more of them: what it returns comes after them.
    exactly: bool,
    /// Whether some kernels do well without it.
    if_there: bool,
    /// Whether it has one program even where it fires in interrupts ([`super::hooks::Nests::Noticed`]).
    alone: bool,
    /// The module it is in, unless that is built in; a host may do without.
    module: Option<&'static str>,
}

/// Where a program sees what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// At its start, also in interrupts.
    AtStart,
    /// At its end, by what it was called with and what it returns.
    AtEnd,
}

/// How functions are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Trampolines: fentry and fexit.
    Trampoline,
    /// Kernel probes: kprobe and kretprobe.
    Probe,
}

impl Function {
    /// A function that every kernel must have.
    pub const fn new(
        program: &'static str,
        names: &'static [&'static str],
        ends: Ends,
        takes: &'static [&'static str],
    ) -> Self {
        Self { program, names, ends, takes, exactly: false, if_there: false, alone: false, module: None }
    }

    /// The same, with no more parameters than are known.
    #[must_use]
    pub const fn exactly(mut self) -> Self {
        self.exactly = true;
        self
    }

    /// The same, where the kernel has it.
    #[must_use]
    pub const fn if_there(mut self) -> Self {
        self.if_there = true;
        self
    }

    /// The same, with one program alone.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// The same, in a module that need not be loaded.
    #[must_use]
    pub const fn of_module(mut self, module: &'static str) -> Self {
        self.module = Some(module);
        self
    }

    /// The names of its programs.
    pub(super) fn programs(&self, means: Means) -> Vec<String> {
        let ways: &[&str] = match (means, self.ends) {
            (Means::Trampoline, Ends::AtStart) if self.alone => &["fentry"],
            (Means::Trampoline, Ends::AtStart) => &["fentry", "fentry_nested"],
            (Means::Trampoline, Ends::AtEnd) => &["fexit", "fexit_nested"],
            (Means::Probe, Ends::AtEnd) => &["kprobe", "kretprobe"],
            (Means::Probe, Ends::AtStart) => &["kprobe"],
        };
        ways.iter().map(|way| format!("{}_{way}", self.program)).collect()
    }

    /// What this kernel calls it; none where it may be absent and is.
    fn find(&self, types: &btf::Btf) -> Result<Option<&'static str>, Refusal> {
        let of =
            |types: &btf::Btf| self.names.iter().find_map(|name| Some((*name, types.function_params(name)?)));
        let found = match self.module {
            Some(module) if of(types).is_none() => {
                if !Path::new("/sys/module").join(module).exists() {
                    return Err(Refusal::unwanted(&format!("the module {module} is not loaded")));
                }
                let both = types.with_module(module).map_err(|error| match error {
                    // Nobody can do anything about it.
                    BtfError::Unreadable { .. } => {
                        Refusal::unwanted("this kernel does not say what the functions of its modules take")
                    }
                    error => Refusal::absent(format!("of the module {module}: {error}")),
                })?;
                of(&both)
            }
            _ => of(types),
        };
        let Some((name, parameters)) = found else {
            let why = format!("this kernel has no function {}", self.names[0]);
            return if self.if_there { Ok(None) } else { Err(Refusal::absent(why)) };
        };
        let fits = parameters.len() >= self.takes.len()
            && (!self.exactly || parameters.len() == self.takes.len())
            && parameters
                .iter()
                .zip(self.takes)
                .all(|(parameter, takes)| parameter.type_name.contains(takes));
        if fits { Ok(Some(name)) } else { Err(Refusal::absent(format!("this kernel's {name} takes others"))) }
    }
}

/// Whether this kernel has kernel probes.
pub(super) fn has_kernel_probes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe/type").exists()
}

/// Attaches all programs of functions, or none; where they are.
pub(super) fn start(
    ebpf: &mut Ebpf,
    functions: &[Function],
    means: Means,
    types: &btf::Btf,
    btf: &Btf,
) -> Result<String, Refusal> {
    if means == Means::Probe && !has_kernel_probes() {
        return Err(Refusal::absent("this kernel has no kernel probes (CONFIG_KPROBES)".to_owned()));
    }
    let mut begun = Vec::new();
    let mut places = Vec::new();
    let mut unloaded = None;
    let outcome = functions.iter().try_for_each(|function| {
        let name = match function.find(types) {
            Ok(Some(name)) => name,
            Ok(None) => return Ok(()),
            Err(refusal) if refusal.unwanted => {
                unloaded = Some(refusal);
                return Ok(());
            }
            Err(refusal) => return Err(refusal),
        };
        places.push(name);
        for program in function.programs(means) {
            begun.push(program.clone());
            attach(ebpf, &program, name, btf).map_err(|error| refusal(&error))?;
        }
        Ok(())
    });
    if let Err(refusal) = outcome {
        for program in begun {
            // What was not loaded need not be unloaded.
            let _ = unload(ebpf, &program);
        }
        return Err(refusal);
    }
    match unloaded {
        Some(refusal) if places.is_empty() => Err(refusal),
        _ => Ok(places.join(", ")),
    }
}

fn attach(ebpf: &mut Ebpf, program: &str, function: &str, btf: &Btf) -> Result<(), ProgramError> {
    let found = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?;
    match found {
        aya::programs::Program::FEntry(found) => {
            found.load(function, btf)?;
            found.attach()?;
        }
        aya::programs::Program::FExit(found) => {
            found.load(function, btf)?;
            found.attach()?;
        }
        aya::programs::Program::KProbe(found) => {
            found.load()?;
            found.attach(function, 0)?;
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(())
}

fn unload(ebpf: &mut Ebpf, program: &str) -> Result<(), ProgramError> {
    let found = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?;
    if let Ok(found) = TryInto::<&mut FEntry>::try_into(&mut *found) {
        found.unload()
    } else if let Ok(found) = TryInto::<&mut FExit>::try_into(&mut *found) {
        found.unload()
    } else {
        TryInto::<&mut KProbe>::try_into(found)?.unload()
    }
}
