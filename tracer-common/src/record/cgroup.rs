//! `cgroup:cgroup_mkdir`

use super::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a path that travel; those that container managers make are a third of it.
pub const PATH: usize = 512;

/// A cgroup of version 2 was made; or user space found it when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// How every record begins.
    pub header: Header,
    /// Inode number of its directory.
    pub id: u64,
    /// Its path below the root of the hierarchy, padded with zeros; all of it is used when it was cut.
    pub path: [u8; PATH],
}
