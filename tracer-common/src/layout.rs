//! Where the running kernel keeps what the programs read; filled from BTF at load time.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The value of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// A bit of an offset: the member is read by a helper, since the verifier does not know the pointer's type.
pub const PROBED: u32 = 1 << 31;

macro_rules! layout {
    ($($field:ident: $meaning:literal, $structure:literal $path:literal;)+) => {
        /// Byte offsets inside kernel structures, [`ABSENT`] where there is no such member.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Offsets {
            $(#[doc = $meaning] pub $field: u32,)+
        }

        impl Offsets {
            /// Nothing is known.
            pub const ABSENT: Self = Self { $($field: ABSENT,)+ };

            /// Field by field: its name here, and the structure and member it is looked up as.
            pub const MEMBERS: &[(&str, &str, &str)] = &[$((stringify!($field), $structure, $path),)+];

            /// Fills every field with what `look_up(structure, member)` answers.
            pub fn resolve(mut look_up: impl FnMut(&'static str, &'static str) -> Option<u32>) -> Self {
                Self { $($field: look_up($structure, $path).unwrap_or(ABSENT),)+ }
            }

            /// The same, with all that the programs load from marked as [`PROBED`].
            #[must_use]
            pub fn probed(self) -> Self {
                Self { $($field: probed($structure, self.$field),)+ }
            }
        }
    };
}

/// Structures whose offsets are added to another's, which is marked.
const INNER: &[&str] = &["tcp_skb_cb", "upid"];

fn probed(structure: &str, offset: u32) -> u32 {
    if offset == ABSENT || INNER.contains(&structure) { offset } else { offset | PROBED }
}

layout! {
    family: "Address family.", "sock" "__sk_common.skc_family";
    state: "TCP state.", "sock" "__sk_common.skc_state";
    daddr: "IPv4 destination.", "sock" "__sk_common.skc_daddr";
    saddr: "IPv4 source.", "sock" "__sk_common.skc_rcv_saddr";
    v6_daddr: "IPv6 destination.", "sock" "__sk_common.skc_v6_daddr";
    v6_saddr: "IPv6 source.", "sock" "__sk_common.skc_v6_rcv_saddr";
    dport: "Destination port, network order.", "sock" "__sk_common.skc_dport";
    num: "Local port, host order; 0 after inet_put_port().", "sock" "__sk_common.skc_num";
    cookie: "Socket cookie.", "sock" "__sk_common.skc_cookie";
    flags: "`enum sock_flags` bits.", "sock" "__sk_common.skc_flags";
    net: "Network namespace.", "sock" "__sk_common.skc_net.net";
    net_inum: "Inode number of a network namespace.", "net" "ns.inum";
    net_cookie: "Number of a network namespace that is never used again.", "net" "net_cookie";
    net_fin_timeout: "`tcp_fin_timeout` in jiffies.", "net" "ipv4.sysctl_tcp_fin_timeout";
    net_ports: "`ip_local_port_range`.", "net" "ipv4.ip_local_ports.range";
    err: "Pending error.", "sock" "sk_err";
    err_soft: "Soft error.", "sock" "sk_err_soft";
    socket: "`struct socket` of the process side.", "sock" "sk_socket";
    lock_owned: "Socket lock.", "sock" "sk_lock.owned";
    shutdown: "Closed directions.", "sock" "sk_shutdown";
    lingertime: "`SO_LINGER` time in jiffies.", "sock" "sk_lingertime";
    ack_backlog: "Accept queue length.", "sock" "sk_ack_backlog";
    max_ack_backlog: "Accept queue limit.", "sock" "sk_max_ack_backlog";
    uid: "Owner's user id.", "sock" "sk_uid";
    sport: "Local port, network order; kept after inet_put_port().", "inet_sock" "inet_sport";
    own_ports: "`IP_LOCAL_PORT_RANGE`, since Linux 6.3.", "inet_sock" "local_port_range";
    retransmits: "Unanswered retransmissions.", "inet_connection_sock" "icsk_retransmits";
    pending: "Timer that is to send again.", "inet_connection_sock" "icsk_pending";
    probes_out: "Unanswered probes.", "inet_connection_sock" "icsk_probes_out";
    user_timeout: "`TCP_USER_TIMEOUT` in milliseconds.", "inet_connection_sock" "icsk_user_timeout";
    rcv_tstamp: "When the peer last acknowledged, in jiffies.", "tcp_sock" "rcv_tstamp";
    rcv_nxt: "Next expected.", "tcp_sock" "rcv_nxt";
    copied_seq: "Next to be read.", "tcp_sock" "copied_seq";
    snd_nxt: "Next to be sent.", "tcp_sock" "snd_nxt";
    snd_una: "Oldest unacknowledged.", "tcp_sock" "snd_una";
    write_seq: "Next to be written.", "tcp_sock" "write_seq";
    snd_wnd: "Peer's window.", "tcp_sock" "snd_wnd";
    bytes_received: "Bytes received.", "tcp_sock" "bytes_received";
    bytes_acked: "Bytes acknowledged.", "tcp_sock" "bytes_acked";
    total_retrans: "Retransmissions.", "tcp_sock" "total_retrans";
    srtt: "Smoothed round-trip time.", "tcp_sock" "srtt_us";
    linger2: "`TCP_LINGER2`.", "tcp_sock" "linger2";
    fastopen_rsk: "Fast Open request.", "tcp_sock" "fastopen_rsk";
    is_mptcp: "MPTCP subflow.", "tcp_sock" "is_mptcp";
    data_segs_out: "Segments with data sent.", "tcp_sock" "data_segs_out";
    segs_in: "Segments received.", "tcp_sock" "segs_in";
    duplicates: "Segments the peer has got twice.", "tcp_sock" "dsack_dups";
    delivered: "Segments the peer has got.", "tcp_sock" "delivered";
    mss: "Largest payload of a segment.", "tcp_sock" "mss_cache";
    sacked: "Segments the peer has out of order.", "tcp_sock" "sacked_out";
    half_open: "SYNs a listener has answered.", "inet_connection_sock" "icsk_accept_queue.qlen.counter";
    mc_ttl: "TTL of the packet that opened an accepted connection.", "inet_sock" "mc_ttl";
    pinet6: "What a socket has of IPv6.", "inet_sock" "pinet6";
    mcast_hops: "Hop limit, likewise.", "ipv6_pinfo" "mcast_hops";
    request_resent: "SYN-ACKs sent again.", "request_sock" "num_retrans";
    request_timeouts: "Byte of the timeouts of a SYN-ACK.", "request_sock" "num_timeout";
    request_acked: "Byte of whether the client's ACK was refused.", "inet_request_sock" "acked";
    cb: "Control block of a packet.", "sk_buff" "cb";
    cb_seq: "Sequence number in it.", "tcp_skb_cb" "seq";
    cb_flags: "TCP's flags in it.", "tcp_skb_cb" "tcp_flags";
    tw_substate: "Sub-state of a TIME_WAIT remainder.", "inet_timewait_sock" "tw_substate";
    tw_sport: "Local port of a TIME_WAIT remainder.", "inet_timewait_sock" "tw_sport";
    socket_sk: "`struct sock` of a `struct socket`.", "socket" "sk";
    skb_head: "Start of a packet buffer.", "sk_buff" "head";
    skb_transport: "Transport header in it.", "sk_buff" "transport_header";
    skb_network: "Network header in it.", "sk_buff" "network_header";
    skb_protocol: "Ethernet type.", "sk_buff" "protocol";
    skb_len: "Length from `data` on.", "sk_buff" "len";
    skb_data: "Start of the payload.", "sk_buff" "data";
    skb_sk: "The socket that sends it, or was found for it.", "sk_buff" "sk";
    skb_dev: "Device it came by.", "sk_buff" "dev";
    message_flags: "`MSG_*` of a `struct msghdr`.", "msghdr" "msg_flags";
    skb_route: "Its route.", "sk_buff" "_skb_refdst";
    route_type: "`RTN_*` of an IPv4 route.", "rtable" "rt_type";
    route6_flags: "`RTF_*` of an IPv6 route.", "rt6_info" "rt6i_flags";
    dev_net: "A device's network namespace.", "net_device" "nd_net.net";
    task_flags: "`PF_*` bits.", "task_struct" "flags";
    task_exit_code: "Exit code.", "task_struct" "exit_code";
    task_tgid: "Process.", "task_struct" "tgid";
    task_signal: "What the threads of a process share.", "task_struct" "signal";
    signal_live: "How many of its threads have not ended.", "signal_struct" "live";
    signal_oom: "The memory of a process that was killed for want of it.", "signal_struct" "oom_mm";
    task_comm: "Name.", "task_struct" "comm";
    task_status: "Thread information's status bits.", "task_struct" "thread_info.status";
    task_files: "Open files.", "task_struct" "files";
    files_table: "Their table.", "files_struct" "fdt";
    table_files: "Files by descriptor.", "fdtable" "fd";
    table_size: "Length of the table.", "fdtable" "max_fds";
    file_private: "What the file is about.", "file" "private_data";
    socket_file: "The file of a `struct socket`.", "socket" "file";
    protocol: "IP protocol.", "sock" "sk_protocol";
    kind: "Kind of socket, `SOCK_STREAM`.", "sock" "sk_type";
    regs_call: "Number of the system call.", "pt_regs" "orig_ax";
    regs_result: "Its result.", "pt_regs" "ax";
    regs_first: "Its first argument.", "pt_regs" "di";
    regs_second: "Its second argument.", "pt_regs" "si";
    regs_third: "Its third argument.", "pt_regs" "dx";
    regs_fourth: "Its fourth argument.", "pt_regs" "r10";
    task_namespaces: "Its namespaces.", "task_struct" "nsproxy";
    namespaces_net: "The network namespace among them.", "nsproxy" "net_ns";
    task_leader: "The first thread of its process.", "task_struct" "group_leader";
    task_parent: "The task that forked it, or took it over.", "task_struct" "real_parent";
    task_cgroups: "Its cgroups.", "task_struct" "cgroups";
    cgroups_default: "The one of version 2 among them.", "css_set" "dfl_cgrp";
    sock_cgroup: "The cgroup a socket was made in, since Linux 5.15.", "sock" "sk_cgrp_data.cgroup";
    cgroup_node: "A cgroup's directory.", "cgroup" "kn";
    node_id: "Its inode number.", "kernfs_node" "id";
    cgroup_level: "How far a cgroup is below the root.", "cgroup" "level";
    cgroup_ancestors: "Those above it and itself, by level, since Linux 6.1.", "cgroup" "ancestors";
    cgroup_ancestor_ids: "Their inode numbers, before.", "cgroup" "ancestor_ids";
    cgroup_root: "A cgroup's hierarchy.", "cgroup" "root";
    root_number: "The number of a hierarchy; that of version 2 is 0.", "cgroup_root" "hierarchy_id";
    task_pid: "What numbers a task has.", "task_struct" "thread_pid";
    pid_level: "How many pid namespaces a task's own is below the first.", "pid" "level";
    pid_numbers: "Its number in each of them.", "pid" "numbers";
    pid_number: "The number itself.", "upid" "nr";
}

/// Numbers of kernel enumerators and bits; [`ABSENT`] where the running kernel has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Numbers {
    /// Bit of `SOCK_DEAD`.
    pub sock_dead: u32,
    /// Bit of `SOCK_DONE`.
    pub sock_done: u32,
    /// Bit of `SOCK_KEEPOPEN`.
    pub sock_keepopen: u32,
    /// Bit of `SOCK_LINGER`.
    pub sock_linger: u32,
    /// Bit of `is_mptcp` inside its byte.
    pub mptcp_bit: u32,
    /// Argument of `tcp_send_reset` that is the reason.
    pub reset_reason_argument: u32,
    /// `SK_RST_REASON_TCP_ABORT_ON_CLOSE`.
    pub reset_abort_on_close: u32,
    /// `SK_RST_REASON_TCP_ABORT_ON_DATA`.
    pub reset_abort_on_data: u32,
    /// `SK_RST_REASON_TCP_ABORT_ON_LINGER`.
    pub reset_abort_on_linger: u32,
    /// `SK_RST_REASON_TCP_ABORT_ON_MEMORY`.
    pub reset_abort_on_memory: u32,
    /// `SK_RST_REASON_INVALID_SYN`.
    pub reset_invalid_syn: u32,
    /// `TRACE_SIGNAL_DELIVERED`.
    pub signal_delivered: u32,
    /// `TRACE_SIGNAL_IGNORED`.
    pub signal_ignored: u32,
    /// Argument of `tcp_v4_send_reset()` and `tcp_v6_send_reset()` that is the reason.
    pub answer_reason_argument: u32,
    /// Argument of `tcp_send_active_reset()` that is the reason.
    pub active_reason_argument: u32,
    /// How many arguments `__tcp_retransmit_skb()` has: what it returns comes after them.
    pub retransmit_returns: u32,
    /// Likewise of `tcp_sendmsg()`.
    pub send_returns: u32,
    /// Likewise of `tcp_recvmsg()`.
    pub receive_returns: u32,
    /// Argument of `tcp_recvmsg()` that is its flags.
    pub receive_flags_argument: u32,
    /// `RTN_LOCAL`.
    pub route_local: u32,
    /// Argument of `tcp_retransmit_skb` that is the result.
    pub retransmit_result_argument: u32,
    /// Argument of `kfree_skb` that is the reason.
    pub drop_reason_argument: u32,
    /// Argument of `kfree_skb` that is the socket.
    pub drop_socket_argument: u32,
    /// `SKB_DROP_REASON_TCP_RESET`.
    pub drop_reset: u32,
    /// `SKB_DROP_REASON_TCP_INVALID_SEQUENCE`.
    pub drop_sequence: u32,
    /// `SKB_DROP_REASON_TCP_INVALID_END_SEQUENCE`, which some kernels tell from it.
    pub drop_end_sequence: u32,
    /// `SKB_DROP_REASON_TCP_OLD_SEQUENCE`: before the window.
    pub drop_old_sequence: u32,
    /// `SKB_DROP_REASON_TCP_INVALID_SYN`.
    pub drop_syn: u32,
    /// `SKB_DROP_REASON_NETFILTER_DROP`.
    pub drop_netfilter: u32,
    /// `SKB_DROP_REASON_NEIGH_FAILED`.
    pub drop_neighbour: u32,
    /// First bit of `num_timeout` in its byte; its bits go to the byte's end.
    pub request_timeouts_bit: u32,
    /// Bit of `acked` in its byte.
    pub request_acked_bit: u32,
    /// Number of `connect`.
    pub call_connect: u32,
    /// Number of `accept`.
    pub call_accept: u32,
    /// Number of `accept4`.
    pub call_accept4: u32,
    /// Number of `shutdown`.
    pub call_shutdown: u32,
    /// Number of `setsockopt`.
    pub call_setsockopt: u32,
    /// Number of `getsockopt`.
    pub call_getsockopt: u32,
    /// Bit mask in the thread's status of a call by another numbering (32-bit); 0 where there is none.
    pub call_compat: u32,
    /// Bytes of a `struct upid`.
    pub upid_size: u32,
    /// Bytes of `ip_local_port_range`: 4 for both ports in one word, since Linux 6.8, else 8 for a word each.
    pub ports_size: u32,
    /// 1: the verifier knows the type of no pointer, or the helpers that need it are not to be had: members are read by
    /// a helper, and what is kept beside sockets is found by their address.
    pub probed: u32,
    /// 1: a process can be taken off its CPU in the midst of a program at a tracepoint.
    pub preemptible: u32,
}

impl Numbers {
    /// Nothing is known.
    pub const ABSENT: Self = Self {
        sock_dead: ABSENT,
        sock_done: ABSENT,
        sock_keepopen: ABSENT,
        sock_linger: ABSENT,
        mptcp_bit: ABSENT,
        reset_reason_argument: ABSENT,
        reset_abort_on_close: ABSENT,
        reset_abort_on_data: ABSENT,
        reset_abort_on_linger: ABSENT,
        reset_abort_on_memory: ABSENT,
        reset_invalid_syn: ABSENT,
        signal_delivered: ABSENT,
        signal_ignored: ABSENT,
        answer_reason_argument: ABSENT,
        active_reason_argument: ABSENT,
        retransmit_returns: ABSENT,
        send_returns: ABSENT,
        receive_returns: ABSENT,
        receive_flags_argument: ABSENT,
        route_local: ABSENT,
        retransmit_result_argument: ABSENT,
        drop_reason_argument: ABSENT,
        drop_socket_argument: ABSENT,
        drop_reset: ABSENT,
        drop_sequence: ABSENT,
        drop_end_sequence: ABSENT,
        drop_old_sequence: ABSENT,
        drop_syn: ABSENT,
        drop_netfilter: ABSENT,
        drop_neighbour: ABSENT,
        request_timeouts_bit: ABSENT,
        request_acked_bit: ABSENT,
        call_connect: ABSENT,
        call_accept: ABSENT,
        call_accept4: ABSENT,
        call_shutdown: ABSENT,
        call_setsockopt: ABSENT,
        call_getsockopt: ABSENT,
        call_compat: 0,
        upid_size: ABSENT,
        ports_size: ABSENT,
        probed: 0,
        preemptible: 0,
    };
}
