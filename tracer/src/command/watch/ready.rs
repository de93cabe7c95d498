//! The file that says that everything is attached.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file that will appear, complete, when the run is ready.
pub(super) struct ReadyFile {
    part: PathBuf,
    path: PathBuf,
}

impl ReadyFile {
    /// Makes sure, before anything is attached, that the file can be written.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}", std::process::id()));
        let part = PathBuf::from(part);
        fs::write(&part, format!("{}\n", std::process::id()))
            .with_context(|| format!("--ready-file {} cannot be written", path.display()))?;
        Ok(Self { part, path: path.to_owned() })
    }

    /// Lets it appear.
    pub(super) fn tell(self) -> Result<()> {
        fs::rename(&self.part, &self.path)
            .with_context(|| format!("writing --ready-file {}", self.path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Renamed already, as a rule.
        let _ = fs::remove_file(&self.part);
    }
}
