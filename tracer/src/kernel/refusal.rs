//! Why nothing can be traced here, as an error that says what to do.

use super::{
    btf::Btf,
    rights::{self, Lockdown, Purpose, Rights},
    vocabulary::Vocabulary,
};
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
}

/// The kernel's types and names, when this process may use them.
///
/// # Errors
/// When rights are missing, or the kernel has no BTF or keeps its memory to itself.
pub fn prepare() -> Result<(Btf, Vocabulary), Refusal> {
    let rights = Rights::read().map_err(|error| Refusal::Rights(format!("{error:#}")))?;
    let lacking: Vec<String> = rights.lacking(Purpose::Attach).iter().map(ToString::to_string).collect();
    if !lacking.is_empty() {
        return Err(Refusal::Rights(format!("loading programs into the kernel: {}", lacking.join("; "))));
    }
    if rights::lockdown() == Lockdown::Confidentiality {
        return Err(Refusal::Kernel(
            "the kernel is locked down (confidentiality): no BPF program may read its memory, so nothing can be told"
                .to_owned(),
        ));
    }
    let btf = Btf::from_sysfs().map_err(|error| {
        Refusal::Kernel(format!(
            "{error}: without BTF (CONFIG_DEBUG_INFO_BTF) the kernel cannot be understood"
        ))
    })?;
    let vocabulary = Vocabulary::read(&btf)
        .map_err(|error| Refusal::Kernel(format!("this kernel is not understood: {error:#}")))?;
    Ok((btf, vocabulary))
}
