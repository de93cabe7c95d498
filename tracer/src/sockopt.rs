//! Names of socket options.

use nix::libc;

macro_rules! levels {
    ($($level:ident = $number:expr => [$($option:ident),+ $(,)?];)+) => {
        /// Levels by number and name, with their options.
        const LEVELS: &[(i32, &str, &[(i32, &str)])] = &[
            $(($number, stringify!($level), &[$((libc::$option, stringify!($option))),+])),+
        ];
    };
}

levels! {
    SOL_SOCKET = libc::SOL_SOCKET => [
        SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE,
        SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_LINGER, SO_BSDCOMPAT, SO_REUSEPORT, SO_PASSCRED, SO_PEERCRED,
        SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO, SO_SNDTIMEO, SO_BINDTODEVICE, SO_ATTACH_FILTER, SO_DETACH_FILTER,
        SO_PEERNAME, SO_TIMESTAMP, SO_ACCEPTCONN, SO_PEERSEC, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_PASSSEC,
        SO_TIMESTAMPNS, SO_MARK, SO_TIMESTAMPING, SO_PROTOCOL, SO_DOMAIN, SO_RXQ_OVFL, SO_WIFI_STATUS, SO_PEEK_OFF,
        SO_NOFCS, SO_LOCK_FILTER, SO_SELECT_ERR_QUEUE, SO_BUSY_POLL, SO_MAX_PACING_RATE, SO_BPF_EXTENSIONS,
        SO_INCOMING_CPU, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF, SO_CNX_ADVICE,
        SO_MEMINFO, SO_INCOMING_NAPI_ID, SO_COOKIE, SO_PEERGROUPS, SO_ZEROCOPY, SO_TXTIME, SO_BINDTOIFINDEX,
        SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET,
    ];
    SOL_TCP = libc::SOL_TCP => [
        TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2,
        TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_INFO, TCP_QUICKACK, TCP_CONGESTION, TCP_MD5SIG, TCP_COOKIE_TRANSACTIONS,
        TCP_THIN_LINEAR_TIMEOUTS, TCP_THIN_DUPACK, TCP_USER_TIMEOUT, TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ,
        TCP_REPAIR_OPTIONS, TCP_FASTOPEN, TCP_TIMESTAMP, TCP_NOTSENT_LOWAT, TCP_CC_INFO, TCP_SAVE_SYN,
        TCP_SAVED_SYN, TCP_REPAIR_WINDOW, TCP_FASTOPEN_CONNECT, TCP_ULP, TCP_MD5SIG_EXT, TCP_FASTOPEN_KEY,
        TCP_FASTOPEN_NO_COOKIE, TCP_ZEROCOPY_RECEIVE, TCP_INQ,     ];
    SOL_IP = libc::SOL_IP => [
        IP_TOS, IP_TTL, IP_HDRINCL, IP_OPTIONS, IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR,
        IP_RECVTTL, IP_RECVTOS, IP_MTU, IP_FREEBIND, IP_IPSEC_POLICY, IP_XFRM_POLICY, IP_PASSSEC, IP_TRANSPARENT,
        IP_ORIGDSTADDR, IP_MINTTL, IP_NODEFRAG, IP_BIND_ADDRESS_NO_PORT, IP_MULTICAST_IF, IP_MULTICAST_TTL,
        IP_MULTICAST_LOOP, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_UNBLOCK_SOURCE, IP_BLOCK_SOURCE,
        IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP, IP_MSFILTER, IP_MULTICAST_ALL, IP_UNICAST_IF,
        MCAST_JOIN_GROUP, MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE, MCAST_LEAVE_GROUP, MCAST_JOIN_SOURCE_GROUP,
        MCAST_LEAVE_SOURCE_GROUP, MCAST_MSFILTER,
    ];
    SOL_IPV6 = libc::SOL_IPV6 => [
        IPV6_ADDRFORM, IPV6_2292PKTINFO, IPV6_2292HOPOPTS, IPV6_2292DSTOPTS, IPV6_2292RTHDR, IPV6_2292PKTOPTIONS,
        IPV6_CHECKSUM, IPV6_2292HOPLIMIT, IPV6_FLOWINFO, IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS,
        IPV6_MULTICAST_LOOP, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_ROUTER_ALERT, IPV6_MTU_DISCOVER,
        IPV6_MTU, IPV6_RECVERR, IPV6_V6ONLY, IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST, IPV6_MULTICAST_ALL,
        IPV6_ROUTER_ALERT_ISOLATE, IPV6_IPSEC_POLICY, IPV6_XFRM_POLICY, IPV6_RECVPKTINFO, IPV6_PKTINFO,
        IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, IPV6_RECVHOPOPTS, IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RECVRTHDR,
        IPV6_RTHDR, IPV6_RECVDSTOPTS, IPV6_DSTOPTS, IPV6_RECVPATHMTU, IPV6_PATHMTU, IPV6_DONTFRAG, IPV6_RECVTCLASS,
        IPV6_TCLASS, IPV6_AUTOFLOWLABEL, IPV6_ADDR_PREFERENCES, IPV6_MINHOPCOUNT, IPV6_ORIGDSTADDR,
        IPV6_TRANSPARENT, IPV6_UNICAST_IF, IPV6_FREEBIND,
    ];
    SOL_UDP = libc::SOL_UDP => [UDP_CORK, UDP_ENCAP, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX, UDP_SEGMENT, UDP_GRO];
    SOL_PACKET = libc::SOL_PACKET => [
        PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_AUXDATA,
        PACKET_VERSION, PACKET_FANOUT,
    ];
    SOL_NETLINK = libc::SOL_NETLINK => [
        NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP, NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
        NETLINK_RX_RING, NETLINK_TX_RING, NETLINK_LISTEN_ALL_NSID, NETLINK_LIST_MEMBERSHIPS, NETLINK_CAP_ACK,
        NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK,
    ];
    SOL_ALG = libc::SOL_ALG => [ALG_SET_KEY, ALG_SET_IV, ALG_SET_OP];
}

/// The name of an option, `SOL_TCP/TCP_ULP`; where it has none here, what is known of it.
pub fn name(level: i32, option: i32) -> String {
    let Some((_, level, options)) = LEVELS.iter().find(|(number, ..)| *number == level) else {
        return format!("option {option} of the unknown level {level}");
    };
    match options.iter().find(|(number, _)| *number == option) {
        Some((_, name)) => format!("{level}/{name}"),
        None => format!("the unknown option {option} of {level}"),
    }
}

/// Level and number of an option by its name, `SOL_TCP/TCP_ULP`.
pub fn by_name(name: &str) -> Option<(i32, i32)> {
    let (level, option) = name.split_once('/')?;
    let (number, _, options) = LEVELS.iter().find(|(_, name, _)| *name == level)?;
    options.iter().find(|(_, name)| *name == option).map(|(option, _)| (*number, *option))
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, by_name, name};

    #[test]
    fn every_name_finds_its_numbers() {
        for (level, of, options) in LEVELS {
            for (option, own) in *options {
                let full = format!("{of}/{own}");
                assert_eq!(by_name(&full), Some((*level, *option)), "{full}");
                // MCAST_… have the same numbers at two levels, never at one.
                assert_eq!(name(*level, *option), full);
            }
        }
    }

    #[test]
    fn what_has_no_name_is_said_to_have_none() {
        assert_eq!(name(6, 9_999), "the unknown option 9999 of SOL_TCP");
        assert_eq!(name(4_711, 1), "option 1 of the unknown level 4711");
    }
}
