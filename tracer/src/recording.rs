//! A recording: raw records in a file, framed, with what is needed to understand them anywhere.
//!
//! The file begins with [`MAGIC`], then come frames: a length (4 bytes, little endian) and that many bytes. The
//! first frame is the [`Preface`] as JSON, every other one a record as `tracer-common` lays it out.

use crate::pattern::Host;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};
use tracer_common::ABI_VERSION;

/// How every recording begins.
pub const MAGIC: &[u8; 8] = b"tcptrec\n";
/// No record is as long.
const LONGEST: usize = 64 << 10;

/// What the records' numbers mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preface {
    /// Version of the records' layout.
    pub abi: u32,
    /// The kernel they come from.
    pub kernel: String,
    /// Its names of `enum sk_rst_reason`.
    pub reset_reasons: BTreeMap<i32, String>,
}

impl Preface {
    /// The preface for records of this host.
    pub fn new(host: &Host, kernel: String) -> Self {
        let reset_reasons = host.reset_reasons.iter().map(|(number, name)| (*number, name.clone())).collect();
        Self { abi: ABI_VERSION, kernel, reset_reasons }
    }

    /// What the rules know of the host the records come from.
    pub fn host(&self) -> Host {
        let reset_reasons = self.reset_reasons.iter().map(|(number, name)| (*number, name.clone())).collect();
        Host { reset_reasons, ..Host::default() }
    }
}

/// Writes a recording.
pub struct Writer<W: Write> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut to: W, preface: &Preface) -> Result<Self> {
        to.write_all(MAGIC).context("writing the recording")?;
        let mut writer = Self { to };
        writer.frame(&serde_json::to_vec(preface)?)?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len()).context("a record of over 4 GiB")?;
        self.to.write_all(&length.to_le_bytes()).context("writing the recording")?;
        self.to.write_all(bytes).context("writing the recording")
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.to.flush().context("writing the recording")
    }
}

/// Reads a recording.
pub struct Reader<R: Read> {
    from: R,
    /// What its numbers mean.
    pub preface: Preface,
}

impl<R: Read> Reader<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn open(mut from: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).context("reading the recording")?;
        ensure!(&magic == MAGIC, "this is no recording of tcptrace");
        let preface = frame(&mut from)?.context("the recording has no preface")?;
        let preface: Preface = serde_json::from_slice(&preface).context("reading the preface")?;
        ensure!(
            preface.abi == ABI_VERSION,
            "the recording has version {}, this tcptrace reads {ABI_VERSION}",
            preface.abi
        );
        Ok(Self { from, preface })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// When the file ends within a record.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>> {
        frame(&mut self.from)
    }
}

fn frame(from: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error).context("reading the recording"),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        bail!("a record of {length} bytes: the recording is damaged");
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).context("the recording ends within a record")?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, Preface, Reader, Writer};
    use crate::pattern::Host;

    fn preface() -> Preface {
        Preface::new(&Host::default(), "6.12.0".into())
    }

    #[test]
    fn what_was_written_is_read() {
        let mut file = Vec::new();
        let mut writer = Writer::begin(&mut file, &preface()).expect("memory takes it");
        writer.frame(b"one").expect("memory takes it");
        writer.frame(b"").expect("memory takes it");
        let mut reader = Reader::open(file.as_slice()).expect("a recording");
        assert_eq!(reader.preface, preface());
        assert_eq!(reader.next_record().expect("a record"), Some(b"one".to_vec()));
        assert_eq!(reader.next_record().expect("a record"), Some(Vec::new()));
        assert_eq!(reader.next_record().expect("the end"), None);
    }

    #[test]
    fn damage_is_told() {
        assert!(Reader::open(&b"something else entirely"[..]).is_err());
        let mut file = Vec::new();
        Writer::begin(&mut file, &preface())
            .expect("memory takes it")
            .frame(b"one")
            .expect("memory takes it");
        let cut = &file[..file.len() - 1];
        let mut reader = Reader::open(cut).expect("the preface is whole");
        assert!(reader.next_record().is_err());
        let mut huge = file[..MAGIC.len()].to_vec();
        huge.extend(u32::MAX.to_le_bytes());
        assert!(Reader::open(huge.as_slice()).is_err());
    }
}
