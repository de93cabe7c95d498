//! Records of this process' own making.

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
