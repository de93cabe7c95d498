//! `sock:inet_sk_error_report`

use super::{
    Header,
    socket::{Past, Socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A socket wakes its process because of an error (`sk_err` is not 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ErrorReport {
    /// How every record begins.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Its past.
    pub past: Past,
}
