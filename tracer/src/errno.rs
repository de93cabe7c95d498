//! Errnos by name.

use std::fmt;

/// What a system call returned, or will return.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(nix::errno::Errno);

/// Beyond the last errno a program can see (`ERESTARTSYS` begins those it cannot).
const LAST: i32 = 512;

macro_rules! errnos {
    ($($name:ident $meaning:literal;)+) => {
        impl Errno {
            $(#[doc = $meaning] pub const $name: Self = Self(nix::errno::Errno::$name);)+
        }
    };
}

errnos! {
    EACCES "Permission denied.";
    EADDRNOTAVAIL "Cannot assign requested address.";
    EBADF "Bad file descriptor.";
    EBUSY "Device or resource busy.";
    ECONNABORTED "Software caused connection abort.";
    ECONNREFUSED "Connection refused.";
    ECONNRESET "Connection reset by peer.";
    EFAULT "Bad address.";
    EHOSTUNREACH "No route to host.";
    EINVAL "Invalid argument.";
    EMFILE "Too many open files.";
    ENETDOWN "Network is down.";
    ENETUNREACH "Network is unreachable.";
    ENFILE "Too many open files in system.";
    ENOTSOCK "Socket operation on non-socket.";
    EPERM "Operation not permitted.";
    EPIPE "Broken pipe.";
    ETIMEDOUT "Connection timed out.";
}

impl Errno {
    /// The errno with this number on the architecture this was built for; `None` for 0 and for numbers it has
    /// no name for.
    pub fn from_number(number: i32) -> Option<Self> {
        let errno = nix::errno::Errno::from_raw(number.abs());
        (number != 0 && errno != nix::errno::Errno::UnknownErrno).then_some(Self(errno))
    }

    /// The errno of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        (1..LAST).filter_map(Self::from_number).find(|errno| errno.name() == name)
    }

    /// Its number on the architecture this was built for.
    pub fn number(self) -> i32 {
        self.0 as i32
    }

    /// Its name, `ECONNRESET`.
    pub fn name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn numbers_become_names() {
        assert_eq!(Errno::from_number(104), Some(Errno::ECONNRESET));
        assert_eq!(Errno::from_number(-104).map(Errno::name).as_deref(), Some("ECONNRESET"));
        assert_eq!(Errno::from_number(0), None);
        assert_eq!(Errno::from_number(99_999), None);
    }
}
