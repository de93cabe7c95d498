//! Why nothing can be traced here, as an error that says what to do.

use super::{
    btf::Btf,
    rights::{self, Lack, Lockdown, Purpose, Rights},
    vocabulary::Vocabulary,
};
use aya::EbpfError;
use nix::errno::Errno;
use std::{io, path::Path};
use thiserror::Error;

/// Why nothing can be traced.
#[derive(Debug, Error)]
pub enum Refusal {
    /// This process lacks rights; another might have them.
    #[error("{0}")]
    Rights(String),
    /// This kernel cannot do it for anyone.
    #[error("{0}")]
    Kernel(String),
    /// The file that was given for the kernel's types is none.
    #[error("{0}")]
    File(String),
}

/// What a person without the kernel's BTF can do.
const GIVE_BTF: &str = "without BTF the kernel is not understood. Give it by --btf FILE: a copy of that file from where it \
                        is shown, or, for a kernel that was built without it (CONFIG_DEBUG_INFO_BTF), BTFHub's of this \
                        very kernel or one made by 'pahole --btf_encode_detached FILE vmlinux'";

/// The kernel's types and names, when this process may use them; the types from a file, or else from the kernel.
///
/// # Errors
/// When rights are missing, or the kernel shows no BTF or keeps its memory to itself, or the file is none.
pub fn prepare(types: Option<&Path>) -> Result<(Btf, Vocabulary), Refusal> {
    let rights = Rights::read().map_err(|error| Refusal::Rights(format!("{error:#}")))?;
    let lacking: Vec<String> = rights.lacking(Purpose::Attach).iter().map(ToString::to_string).collect();
    if !lacking.is_empty() {
        return Err(Refusal::Rights(format!("loading programs into the kernel: {}", lacking.join("; "))));
    }
    if rights::lockdown() == Some(Lockdown::Confidentiality) {
        return Err(Refusal::Kernel(
            "the kernel is locked down (confidentiality): no BPF program may read its memory, so nothing can be told"
                .to_owned(),
        ));
    }
    let btf = match types {
        Some(file) => {
            Btf::open(file).map_err(|error| Refusal::File(format!("--btf {}: {error}", file.display())))?
        }
        None => Btf::from_sysfs().map_err(|error| Refusal::Kernel(format!("{error}: {GIVE_BTF}")))?,
    };
    let vocabulary = Vocabulary::read(&btf)
        .map_err(|error| Refusal::Kernel(format!("this kernel is not understood: {error:#}")))?;
    Ok((btf, vocabulary))
}

/// Refuses what compares numbers of processes, where those are not the host's.
///
/// # Errors
/// In another pid namespace than the host's.
pub fn need_host_pids(what: &str) -> Result<(), Refusal> {
    let rights = Rights::read().map_err(|error| Refusal::Rights(format!("{error:#}")))?;
    if rights.initial_pid_namespace {
        return Ok(());
    }
    Err(Refusal::Rights(format!("{what}: {}", Lack::PidNamespace)))
}

/// Why there are no maps. Before Linux 5.11 they count as locked memory, of which few may have as much:
/// `bpf_charge_memlock()`, <https://github.com/torvalds/linux/blob/v5.10/kernel/bpf/syscall.c>.
pub(super) fn no_maps(error: EbpfError) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    let denied = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let denied = denied.filter_map(io::Error::raw_os_error).any(|errno| errno == Errno::EPERM as i32);
    if denied {
        return Refusal::Rights(
            "the kernel refuses memory for the maps of BPF programs; before Linux 5.11 it counts as locked: give \
             CAP_SYS_RESOURCE as well, or raise the limit (ulimit -l unlimited, LimitMEMLOCK=infinity)"
                .to_owned(),
        )
        .into();
    }
    error.context("creating the maps of the BPF programs")
}
