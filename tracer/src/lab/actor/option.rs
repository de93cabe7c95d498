//! Socket options as an actor sets and gets them, also where that cannot succeed.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

use nix::libc;
use nix::sys::socket::{IpMembershipRequest, SetSockOpt, getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use socket2::Socket;

use super::call::SocketOption;

/// A number that no kernel gives to an option or to a level.
const NOBODYS: libc::c_int = 9999;

sockopt_impl!(
    /// `TCP_LINGER2`, which nix does not name; what is unsafe in this is nix's.
    Linger2,
    Both,
    libc::IPPROTO_TCP,
    libc::TCP_LINGER2,
    libc::c_int
);

/// `TCP_SEND_QUEUE` of `TCP_REPAIR_QUEUE`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/tcp.h>
const SEND_QUEUE: libc::c_int = 2;

sockopt_impl!(
    /// `TCP_REPAIR_QUEUE`: which queue the next option is about.
    RepairQueue,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_REPAIR_QUEUE,
    libc::c_int
);

sockopt_impl!(
    /// `TCP_QUEUE_SEQ`: the next sequence number of that queue.
    QueueSequence,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_QUEUE_SEQ,
    u32
);

sockopt_impl!(
    /// `SO_TYPE`, for those who take it for something that can be changed.
    SocketType,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_TYPE,
    libc::c_int
);

sockopt_impl!(
    /// An option that TCP does not have.
    Unknown,
    SetOnly,
    libc::IPPROTO_TCP,
    NOBODYS,
    libc::c_int
);

sockopt_impl!(
    /// An option of a level that there is not.
    UnknownLevel,
    GetOnly,
    NOBODYS,
    NOBODYS,
    libc::c_int
);

/// Sets an option.
pub(super) fn set(socket: &Socket, option: SocketOption) -> io::Result<()> {
    fn one<O: SetSockOpt>(socket: &Socket, option: O, value: &O::Val) -> io::Result<()> {
        Ok(setsockopt(socket, option, value)?)
    }
    match option {
        SocketOption::Linger(seconds) => {
            let value =
                libc::linger { l_onoff: seconds.is_some().into(), l_linger: seconds.unwrap_or(0).into() };
            one(socket, sockopt::Linger, &value)
        }
        SocketOption::Linger2(seconds) => one(socket, Linger2, &seconds),
        SocketOption::ReceiveBuffer(bytes) => one(socket, sockopt::RcvBuf, &bytes),
        SocketOption::SendBuffer(bytes) => one(socket, sockopt::SndBuf, &bytes),
        SocketOption::ReuseAddress(on) => one(socket, sockopt::ReuseAddr, &on),
        SocketOption::Keepalive(on) => one(socket, sockopt::KeepAlive, &on),
        SocketOption::KeepaliveIdle(seconds) => one(socket, sockopt::TcpKeepIdle, &seconds),
        SocketOption::KeepaliveInterval(seconds) => one(socket, sockopt::TcpKeepInterval, &seconds),
        SocketOption::KeepaliveProbes(count) => one(socket, sockopt::TcpKeepCount, &count),
        SocketOption::UserTimeout(milliseconds) => one(socket, sockopt::TcpUserTimeout, &milliseconds),
        SocketOption::NoDelay(on) => one(socket, sockopt::TcpNoDelay, &on),
        SocketOption::OnlyV6(on) => one(socket, sockopt::Ipv6V6Only, &on),
        SocketOption::Nonblocking(on) => socket.set_nonblocking(on),
        SocketOption::Repair(on) => one(socket, sockopt::TcpRepair, &on.into()),
        SocketOption::SendSequence(sequence) => {
            one(socket, sockopt::TcpRepair, &1)?;
            one(socket, RepairQueue, &SEND_QUEUE)?;
            one(socket, QueueSequence, &sequence)?;
            one(socket, sockopt::TcpRepair, &0)
        }
        SocketOption::ReceiveTimeout { seconds, microseconds } => {
            one(socket, sockopt::ReceiveTimeout, &TimeVal::new(seconds, microseconds))
        }
        SocketOption::MissingCongestion => one(socket, sockopt::TcpCongestion, &OsString::from("nosuch")),
        SocketOption::Membership { group, interface } => {
            one(socket, sockopt::IpAddMembership, &IpMembershipRequest::new(group, Some(interface)))
        }
        SocketOption::SocketType(number) => one(socket, SocketType, &number),
        SocketOption::Unknown => one(socket, Unknown, &1),
    }
}

/// Sets `TCP_NODELAY` on a descriptor that is not open any more.
pub(super) fn set_on_closed(duplicate: Socket) -> io::Result<()> {
    let closed = nix::unistd::close(duplicate.as_raw_fd());
    let set = setsockopt(&duplicate, sockopt::TcpNoDelay, &true);
    // The number is nobody's by now: to drop the socket would close it again.
    _ = duplicate.into_raw_fd();
    Ok(closed.and(set)?)
}

/// Sets `TCP_NODELAY` on a descriptor that is no socket.
pub(super) fn set_on_file() -> io::Result<()> {
    let file = File::open("/dev/null")?;
    Ok(setsockopt(&file, sockopt::TcpNoDelay, &true)?)
}

/// Gets an option of a level that there is not.
pub(super) fn get_unknown_level(socket: &Socket) -> io::Result<libc::c_int> {
    Ok(getsockopt(socket, UnknownLevel)?)
}
