//! Keeps lines short enough that one write of them is never split.

use super::finding::{FindingRecord, StepRecord};
use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;

/// Most bytes of a `finding` or `event` line with its newline: what a pipe takes in one piece.
pub const LONGEST_LINE: usize = 4_096;

/// A record as a line.
///
/// # Errors
/// When it has no JSON form, which is a mistake in its type.
pub fn line(record: &impl Serialize) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec(record).context("a record without a JSON form")?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

impl FindingRecord {
    /// The finding as a line of at most [`LONGEST_LINE`] bytes: the middle of the timeline goes first, then the
    /// ends of long texts.
    ///
    /// # Errors
    /// When it has no JSON form, which is a mistake in its type.
    pub fn line(mut self) -> Result<Bytes> {
        let mut cut = 0;
        loop {
            let bytes = line(&self)?;
            if bytes.len() <= LONGEST_LINE {
                return Ok(bytes);
            }
            if self.timeline.len() > 2 {
                let middle = self.timeline.len() / 2;
                let _: StepRecord = self.timeline.remove(middle);
                cut += 1;
                self.timeline_cut = Some(cut);
            } else if !self.shorten() {
                return Ok(bytes);
            }
        }
    }

    /// Halves the longest text; false when there is none left to halve.
    fn shorten(&mut self) -> bool {
        let mut texts = vec![&mut self.advice, &mut self.message, &mut self.common.host];
        let processes = [self.process.as_mut(), self.peer.as_mut().and_then(|peer| peer.process.as_mut())];
        for process in processes.into_iter().flatten() {
            texts.extend(process.exe.as_mut());
            texts.extend(process.cgroup.as_mut());
        }
        let Some(longest) = texts.into_iter().max_by_key(|text| text.len()) else { return false };
        if longest.len() < 32 {
            return false;
        }
        let half = longest.floor_char_boundary(longest.len() / 2);
        longest.truncate(half);
        longest.push('…');
        true
    }
}
