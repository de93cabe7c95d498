//! What the running kernel calls and keeps where, read from BTF once.

use super::btf::{Btf, Parameter};
use anyhow::{Result, ensure};
use hashbrown::HashMap;
use tracer_common::{
    State,
    layout::{ABSENT, Numbers, Offsets},
};

/// Offsets and numbers for the programs, names for people.
pub struct Vocabulary {
    /// Where the kernel keeps things.
    pub offsets: Offsets,
    /// Bits and argument positions.
    pub numbers: Numbers,
    /// `enum sk_rst_reason`, without the prefix; empty before Linux 6.10.
    pub reset_reasons: HashMap<i32, String>,
    /// Members the programs would read and this kernel does not have.
    pub absent: Vec<&'static str>,
}

/// Members without which no record can be made.
const ESSENTIAL: &[&str] =
    &["family", "state", "daddr", "saddr", "dport", "net", "net_inum", "err", "flags", "sport", "lock_owned"];

/// The thread is in a 32-bit system call; a macro, which BTF does not know.
/// <https://github.com/torvalds/linux/blob/v6.12/arch/x86/include/asm/thread_info.h#L194>
const TS_COMPAT: u32 = 0x2;

impl Vocabulary {
    /// Looks everything up.
    ///
    /// # Errors
    /// When the kernel lacks something without which no record can be made, or numbers its TCP states otherwise.
    pub fn read(btf: &Btf) -> Result<Self> {
        let mut absent = Vec::new();
        let offsets = Offsets::resolve(|structure, member| {
            let found = btf.member(structure, member).map(|member| member.offset_bytes);
            if found.is_none() {
                absent.push(member);
            }
            found
        });
        // Either tells a cgroup's ancestors.
        if offsets.cgroup_ancestors != ABSENT || offsets.cgroup_ancestor_ids != ABSENT {
            absent.retain(|member| !["ancestors", "ancestor_ids"].contains(member));
        }
        for (name, structure, member) in Offsets::MEMBERS {
            let essential = ESSENTIAL.contains(name);
            ensure!(
                !essential || btf.member(structure, member).is_some(),
                "struct {structure} has no {member}"
            );
        }
        for state in State::ALL {
            let name = format!("TCP_{}", state.name());
            let number = btf.enumerator(&name);
            ensure!(
                number.is_none_or(|number| number == i64::from(state.number())),
                "{name} is {number:?} here"
            );
        }
        let mut numbers = numbers(btf);
        numbers.probed = u32::from(!has_socket_helpers(btf));
        Ok(Self { offsets, numbers, reset_reasons: reset_reasons(btf), absent })
    }

    /// What the programs are given; where they are `probed`, the verifier knows the type of no pointer.
    pub(super) fn layout(&self, probed: bool) -> (Offsets, Numbers) {
        let numbers = Numbers { probed: u32::from(probed), ..self.numbers };
        (if probed { self.offsets.probed() } else { self.offsets }, numbers)
    }
}

/// Whether tracing programs are given what is kept beside a socket (since Linux 5.11), and its cookie (5.12).
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/bpf_sk_storage.c#L390-L425>,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/filter.c#L5040-L5060>
fn has_socket_helpers(btf: &Btf) -> bool {
    ["bpf_sk_storage_get_tracing", "bpf_get_socket_ptr_cookie"]
        .iter()
        .all(|helper| btf.function_params(helper).is_some())
}

/// Whether programs at tracepoints can be preempted (since Linux 7.0): what guards them is a SRCU domain of their own,
/// whose data for each CPU kernels up to 6.12 had for other tracepoints, and before `struct tracepoint_ext` (6.14).
/// `__DECLARE_TRACE()`, <https://github.com/torvalds/linux/blob/v7.0/include/linux/tracepoint.h>
fn has_preemptible_tracepoints(btf: &Btf) -> bool {
    btf.has_variable("tracepoint_srcu_srcu_data") && btf.size("tracepoint_ext").is_some()
}

fn numbers(btf: &Btf) -> Numbers {
    let bit =
        |name| btf.enum_value("sock_flags", name).and_then(|bit| u32::try_from(bit).ok()).unwrap_or(ABSENT);
    let reason = btf.tracepoint_args("tcp_send_reset").and_then(|arguments| {
        arguments.iter().position(|argument| argument.type_name.contains("sk_rst_reason"))
    });
    let result = btf
        .tracepoint_args("tcp_retransmit_skb")
        .filter(|arguments| arguments.get(2).is_some_and(|argument| argument.type_name == "int"));
    let count = |function| {
        btf.function_params(function).and_then(|all| u32::try_from(all.len()).ok()).unwrap_or(ABSENT)
    };
    let parameter = |function, fits: &dyn Fn(&Parameter) -> bool| {
        let found = btf.function_params(function).and_then(|all| all.iter().position(fits));
        found.and_then(|index| u32::try_from(index).ok()).unwrap_or(ABSENT)
    };
    let is_reason = |parameter: &Parameter| parameter.type_name.contains("sk_rst_reason");
    let call = |number: nix::libc::c_long| u32::try_from(number).unwrap_or(ABSENT);
    let number = |name| btf.enumerator(name).and_then(|number| u32::try_from(number).ok()).unwrap_or(ABSENT);
    let drop_arguments = btf.tracepoint_args("kfree_skb").unwrap_or_default();
    let drop_argument = |index: usize, type_name: &str| {
        let there = drop_arguments.get(index).is_some_and(|argument| argument.type_name.contains(type_name));
        if there { u32::try_from(index).unwrap_or(ABSENT) } else { ABSENT }
    };
    let first_bit =
        |structure, member| btf.member(structure, member).map_or(ABSENT, |member| member.bit_in_byte.into());
    let reset = |name: &str| {
        let name = format!("SK_RST_REASON_{name}");
        let number = btf.enum_value("sk_rst_reason", &name);
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(ABSENT)
    };
    Numbers {
        drop_reason_argument: drop_argument(2, "skb_drop_reason"),
        drop_socket_argument: drop_argument(3, "struct sock"),
        drop_reset: number("SKB_DROP_REASON_TCP_RESET"),
        drop_sequence: number("SKB_DROP_REASON_TCP_INVALID_SEQUENCE"),
        drop_end_sequence: number("SKB_DROP_REASON_TCP_INVALID_END_SEQUENCE"),
        drop_old_sequence: number("SKB_DROP_REASON_TCP_OLD_SEQUENCE"),
        drop_syn: number("SKB_DROP_REASON_TCP_INVALID_SYN"),
        drop_netfilter: number("SKB_DROP_REASON_NETFILTER_DROP"),
        drop_neighbour: number("SKB_DROP_REASON_NEIGH_FAILED"),
        request_timeouts_bit: first_bit("request_sock", "num_timeout"),
        request_acked_bit: first_bit("inet_request_sock", "acked"),
        reset_abort_on_close: reset("TCP_ABORT_ON_CLOSE"),
        reset_abort_on_data: reset("TCP_ABORT_ON_DATA"),
        reset_abort_on_linger: reset("TCP_ABORT_ON_LINGER"),
        reset_abort_on_memory: reset("TCP_ABORT_ON_MEMORY"),
        reset_invalid_syn: reset("INVALID_SYN"),
        answer_reason_argument: parameter("tcp_v4_send_reset", &is_reason),
        active_reason_argument: parameter("tcp_send_active_reset", &is_reason),
        retransmit_returns: count("__tcp_retransmit_skb"),
        send_returns: count("tcp_sendmsg"),
        receive_returns: count("tcp_recvmsg"),
        receive_flags_argument: parameter("tcp_recvmsg", &|parameter: &Parameter| {
            parameter.name.as_deref() == Some("flags")
        }),
        route_local: number("RTN_LOCAL"),
        signal_delivered: number("TRACE_SIGNAL_DELIVERED"),
        signal_ignored: number("TRACE_SIGNAL_IGNORED"),
        retransmit_result_argument: result.map_or(ABSENT, |_| 2),
        call_connect: call(nix::libc::SYS_connect),
        call_accept: call(nix::libc::SYS_accept),
        call_accept4: call(nix::libc::SYS_accept4),
        call_shutdown: call(nix::libc::SYS_shutdown),
        call_setsockopt: call(nix::libc::SYS_setsockopt),
        call_getsockopt: call(nix::libc::SYS_getsockopt),
        call_compat: if cfg!(target_arch = "x86_64") { TS_COMPAT } else { 0 },
        upid_size: btf.size("upid").unwrap_or(ABSENT),
        ports_size: btf.member("net", "ipv4.ip_local_ports.range").map_or(ABSENT, |range| range.size_bytes),
        probed: 0,
        preemptible: u32::from(has_preemptible_tracepoints(btf)),
        sock_dead: bit("SOCK_DEAD"),
        sock_done: bit("SOCK_DONE"),
        sock_keepopen: bit("SOCK_KEEPOPEN"),
        sock_linger: bit("SOCK_LINGER"),
        mptcp_bit: btf.member("tcp_sock", "is_mptcp").map_or(ABSENT, |member| member.bit_in_byte.into()),
        reset_reason_argument: reason.and_then(|index| u32::try_from(index).ok()).unwrap_or(ABSENT),
    }
}

fn reset_reasons(btf: &Btf) -> HashMap<i32, String> {
    let values = btf.enum_values("sk_rst_reason").unwrap_or_default();
    values
        .into_iter()
        .filter_map(|(name, number)| {
            let name = name.strip_prefix("SK_RST_REASON_")?;
            Some((i32::try_from(number).ok()?, name.to_owned()))
        })
        .filter(|(_, name)| name != "MAX")
        .collect()
}
