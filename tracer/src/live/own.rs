//! Records of this process' own making, and records in a row.

use crate::kernel::clock;
use tracer_common::record::{Header, Kind};

/// The beginning of a record of this process' own making.
pub(super) fn header<R>(kind: Kind, cpu: u32) -> Header {
    let len = u16::try_from(size_of::<R>()).expect("records are short");
    Header {
        at_ns: clock::now().0,
        kind: kind as u16,
        len,
        cpu,
        pid: std::process::id(),
        tid: 0,
        comm: [0; 16],
    }
}

/// The length of the first of many records.
pub(super) fn length(records: &[u8]) -> Option<usize> {
    let field = std::mem::offset_of!(Header, len);
    let bytes = records.get(field..field + 2)?.try_into().ok()?;
    let length = usize::from(u16::from_ne_bytes(bytes));
    (size_of::<Header>() <= length && length <= records.len()).then_some(length)
}
