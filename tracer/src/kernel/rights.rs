//! What this process may do.

use anyhow::{Context, Result};
use caps::{CapSet, Capability};
use std::fs;

/// What attaching needs, best first: either the first two, or the last.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/capability.h#L389-L413>
const ATTACH: &[Capability] = &[Capability::CAP_BPF, Capability::CAP_PERFMON];
const EVERYTHING: Capability = Capability::CAP_SYS_ADMIN;

/// The lockdown of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Off, or not built in.
    None,
    /// The kernel protects its integrity.
    Integrity,
    /// It also keeps its memory to itself: BPF programs cannot read it (`LOCKDOWN_BPF_READ_KERNEL`).
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L1476-L1483>
    Confidentiality,
}

/// Capabilities that attaching needs and this process lacks.
///
/// # Errors
/// When the process' capabilities cannot be read.
pub fn missing() -> Result<Vec<String>> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).context("reading capabilities");
    if has(EVERYTHING)? {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for capability in ATTACH {
        if !has(*capability)? {
            missing.push(capability.to_string());
        }
    }
    Ok(missing)
}

/// The lockdown in force.
pub fn lockdown() -> Lockdown {
    // No file: no security module of that kind, or securityfs is not mounted.
    let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')) {
        Some("integrity") => Lockdown::Integrity,
        Some("confidentiality") => Lockdown::Confidentiality,
        _ => Lockdown::None,
    }
}
