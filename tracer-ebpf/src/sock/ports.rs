//! The ports of a connection.

use super::Tcp;
use crate::kernel::{load, number, offset, peek};
use tracer_common::settings::PortRange;

impl Tcp {
    /// The local port in host order; 0 when none is chosen.
    ///
    /// `skc_num` is 0 again once `inet_put_port()` ran, `inet_sport` is kept: at the change to CLOSE only the
    /// latter is good. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_hashtables.c#L211-L245>
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(sport)))
    }

    /// What the local port is, or will lie in: `inet_hash_connect()` chooses it after the state is SYN_SENT.
    /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_connection_sock.c#L117-L155>
    #[inline(always)]
    pub(crate) fn local_ports(self) -> PortRange {
        let port = self.local_port();
        if port != 0 {
            return PortRange { first: port, last: port };
        }
        let net = self.common().net() as usize;
        if peek::<u32>(self.0 as usize, offset!(own_ports)) != 0 {
            return PortRange::ANY;
        }
        match number!(ports_size) {
            4 => {
                let both: u32 = peek(net, offset!(net_ports));
                PortRange { first: both as u16, last: (both >> 16) as u16 }
            }
            8 => {
                let [first, last] = peek::<[u32; 2]>(net, offset!(net_ports));
                PortRange { first: first as u16, last: last as u16 }
            }
            _ => PortRange::ANY,
        }
    }

    /// The remote port in host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(load(self.0, offset!(dport)))
    }
}
