//! What the kernel programs must not be, as the linker leaves them.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, elf::R_BPF_64_32};
use std::collections::BTreeSet;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Before Linux 6.2 the verifier takes every number of a program that has functions of its own for one that matters, and
/// walks each path for each of its values: many times the steps.
/// `__mark_reg_unknown()`, <https://github.com/torvalds/linux/blob/v6.1/kernel/bpf/verifier.c>
#[test]
fn no_program_calls_a_function_of_its_own() {
    let object = object::File::parse(OBJECT).expect("an object");
    let mut programs = 0;
    let mut calls = BTreeSet::new();
    for section in object.sections().filter(|section| section.kind() == object::SectionKind::Text) {
        let name = section.name().expect("its name");
        programs += usize::from(name != ".text");
        for (at, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            if relocation.flags() == (object::RelocationFlags::Elf { r_type: R_BPF_64_32 }) {
                let called = object.symbol_by_index(index).expect("a symbol");
                calls.insert(format!("{name}+{at:#x} calls {}", called.name().expect("its name")));
            }
        }
    }
    assert!(programs > 20, "only {programs} sections of programs");
    assert!(calls.is_empty(), "{calls:#?}");
}

/// The loader reads every byte and every relocation of it, and its pages stay in memory.
#[test]
fn nothing_is_there_for_debuggers_alone() {
    let object = object::File::parse(OBJECT).expect("an object");
    let names: Vec<_> = object.sections().map(|section| section.name().expect("its name")).collect();
    assert!(names.contains(&".BTF"), "{names:?}");
    let lines = |name: &&str| name.contains(".debug_") || name.contains(".BTF.ext");
    assert_eq!(names.iter().find(|name| lines(name)), None);
}
