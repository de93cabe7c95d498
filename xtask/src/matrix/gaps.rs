//! The table of what kernels cannot show. A gap that is not one is a failure, as is one that is not here.

use super::gap::{Gap, Loss};

/// Kernels without the tracepoints and arguments of later ones.
const OLD: &[&str] = &["5.10", "6.1"];
const ALL: &[&str] = &["auto", "tracepoint", "fentry", "kprobe"];
const TRACEPOINT: &[&str] = &["tracepoint"];

/// Why the owner of an accepted socket is not known.
const OWNERS_UNSEEN: &str = "An accepted socket's owner is learnt when it sends or receives; before 6.3 neither \
    sock_send_length() nor sock_recv_length() is there.";

/// Every gap.
pub(super) const GAPS: &[Gap] = &[
    Gap {
        kernels: OLD,
        backends: ALL,
        situations: &[("reset_rejected", "*"), ("stale_connection_killed", "*")],
        paths: &[],
        loss: Loss::All,
        because: "What an open connection refuses is told by kfree_skb() alone, which before 6.11 does not say for which \
                  socket the segment came, and on 5.10 not even why it is thrown away.",
        source: "https://github.com/torvalds/linux/blob/v6.1/include/trace/events/skb.h#L23-L50",
    },
    Gap {
        kernels: OLD,
        backends: TRACEPOINT,
        situations: &[("broken_pipe", "*"), ("sigpipe_killed", "*")],
        paths: &[],
        loss: Loss::All,
        because: "Before 6.3 no tracepoint tells what send calls return: sock_send_length() is not there.",
        source: "https://github.com/torvalds/linux/blob/v6.1/net/socket.c#L705-L725",
    },
    Gap {
        kernels: OLD,
        backends: TRACEPOINT,
        situations: &[("premature_eof", "*")],
        paths: &[],
        loss: Loss::All,
        because: "Before 6.3 no tracepoint tells what receive calls return: sock_recv_length() is not there.",
        source: "https://github.com/torvalds/linux/blob/v6.1/net/socket.c#L1000-L1030",
    },
    Gap {
        kernels: OLD,
        backends: TRACEPOINT,
        situations: &[("embryonic_reset", "*")],
        paths: &[],
        loss: Loss::All,
        because: "Before 6.10 tcp_v4_send_reset() tells of no RST for which there is no full socket.",
        source: "https://github.com/torvalds/linux/blob/v6.1/net/ipv4/tcp_ipv4.c#L700-L830",
    },
    Gap {
        kernels: OLD,
        backends: TRACEPOINT,
        situations: &[("peer_lost_state", "gone")],
        paths: &[],
        loss: Loss::Pattern("connection_reset"),
        because: "Before 6.10 tcp_v4_send_reset() tells of no RST for which there is no full socket, so that nothing \
                  shows why this one came.",
        source: "https://github.com/torvalds/linux/blob/v6.1/net/ipv4/tcp_ipv4.c#L700-L830",
    },
    Gap {
        kernels: OLD,
        backends: TRACEPOINT,
        situations: &[("socket_destroyed", "client"), ("shutdown_self_reset", "client_shuts_down")],
        paths: &[],
        loss: Loss::FieldsAtTimes(&["other process"]),
        because: OWNERS_UNSEEN,
        source: "https://github.com/torvalds/linux/blob/v6.1/net/socket.c#L705-L725",
    },
    Gap {
        kernels: &["6.1"],
        backends: &["fentry", "kprobe"],
        situations: &[("pmtu_blackhole", "*")],
        paths: &[],
        loss: Loss::All,
        because: "This kernel's compiler has built __tcp_retransmit_skb() into tcp_retransmit_skb(), so that the function \
                  is seen for loss probes alone.",
        source: "https://github.com/torvalds/linux/blob/v6.1/net/ipv4/tcp_output.c#L3195-L3320",
    },
    Gap {
        kernels: &["5.10"],
        backends: TRACEPOINT,
        situations: &[("local_unreachable", "own_firewall")],
        paths: &[],
        loss: Loss::All,
        because: "Before 5.17 kfree_skb() does not say that a firewall rule threw a segment away, and \
                  trace_tcp_retransmit_skb() tells of those alone that left.",
        source: "https://github.com/torvalds/linux/blob/v5.10/net/ipv4/tcp_output.c#L3175-L3260",
    },
];
