//! The traps.

use super::Trap;

/// A name as docker gives.
macro_rules! container {
    () => {
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    };
}

/// A user with no more than these capabilities: `$few COMMAND`.
macro_rules! few {
    ($capabilities:literal) => {
        concat!(
            "[ -x /usr/bin/setpriv ] || skip setpriv of util-linux is not here\n",
            "caps=-all", $capabilities, "\n",
            "few=\"/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=$caps --ambient-caps=$caps\n",
            "--bounding-set=$caps\"\n",
            "$few tcptrace doctor; echo doctor: $?\n",
            "$few tcptrace watch --quiet --fail-on warning -- nc 127.0.0.1 9",
        )
    };
}

/// Each with what must come of it.
pub(super) const TRAPS: &[Trap] = &[
    Trap {
        name: "lockdown_integrity",
        kernels: &["6.1", "7"],
        parameters: "lockdown=integrity",
        script: "
            cat /sys/kernel/security/lockdown
            tcptrace watch --json --fail-on warning -- nc 127.0.0.1 9",
        code: 5,
        says: &["[integrity]", "state_change", "connection_refused"],
        never: &["why_not"],
    },
    Trap {
        name: "lockdown_confidentiality",
        kernels: &["5.10", "6.1", "7"],
        parameters: "lockdown=confidentiality",
        script: "
            tcptrace doctor; echo doctor: $?
            tcptrace demo connection_refused; echo demo: $?
            tcptrace watch --duration 1s",
        code: 4,
        says: &["lockdown   confidentiality", "is locked down", "doctor: 4", "is locked down", "demo: 4", "is locked down"],
        never: &[],
    },
    Trap {
        // Where nobody has mounted the kernel's word on it, its refusals tell.
        name: "lockdown_hidden",
        kernels: &["5.10", "7"],
        parameters: "lockdown=confidentiality",
        script: "
            umount /sys/kernel/security
            tcptrace doctor",
        code: 4,
        says: &["lockdown   unknown", "state_change", "lockdown is at confidentiality"],
        never: &["-vv"],
    },
    Trap {
        name: "btf_hidden",
        kernels: &["5.10", "6.12"],
        parameters: "",
        script: "
            cp /sys/kernel/btf/vmlinux /tmp/copy
            mount -t tmpfs none /sys/kernel/btf
            tcptrace watch --duration 1s; echo watch: $?
            tcptrace watch --json --fail-on warning --btf /tmp/copy -- nc 127.0.0.1 9",
        code: 5,
        says: &["--btf FILE", "watch: 4", "state_change", "connection_refused"],
        never: &["why_not"],
    },
    Trap {
        name: "no_tracefs_for_kernel_probes",
        kernels: &["5.10", "6.1"],
        parameters: "",
        script: "
            umount /sys/kernel/tracing
            [ -e /sys/kernel/tracing/events ] && exit 1
            tcptrace watch --json --fail-on warning --backend kprobe -- nc 127.0.0.1 9",
        code: 5,
        says: &["inet_sk_state_store\",\"attached\":\"kprobe", "__sys_connect", "connection_refused"],
        never: &["why_not"],
    },
    Trap {
        // It has the numbers of the tracepoints of single system calls: it is mounted for a moment.
        name: "no_tracefs_for_tracepoints",
        kernels: &["7"],
        parameters: "",
        script: "
            umount /sys/kernel/tracing
            tcptrace watch --json --fail-on warning --backend tracepoint -- nc 127.0.0.1 9
            code=$?
            [ -e /sys/kernel/tracing/events ] && echo it stays mounted
            exit $code",
        code: 5,
        says: &["sys_exit_*\",\"attached\":\"tracepoint", "connection_refused"],
        never: &["why_not", "it stays mounted"],
    },
    Trap {
        // The client is killed from outside, by its number there, which is the one that must be told.
        name: "pid_namespace",
        kernels: &["7"],
        parameters: "",
        script: r#"
            cat >/tmp/inside <<'END'
            . /tmp/prelude
            tcptrace doctor; echo doctor: $?
            tcptrace watch -- true; echo command: $?
            tcptrace demo connection_refused; echo demo: $?
            begin /tmp/told
            serve 7000
            tail -f /dev/null | nc 127.0.0.1 7000 &
            echo $! >/tmp/inner
            until_ok connected 7000
            touch /tmp/stands
            until_ok [ -e /tmp/killed ]
            end $watch
            cat /tmp/told.said
END
            unshare -p -f --mount-proc sh /tmp/inside &
            until_ok [ -e /tmp/stands ]
            inner=$(cat /tmp/inner)
            for status in /proc/[0-9]*/status; do
                is_it="^NSpid:.*[[:space:]]$inner\$"
                grep -q "$is_it" $status && grep -q '^Name:.*nc$' $status && outer=${status//[!0-9]/}
            done 2>/dev/null
            [ $inner != $outer ] || exit 1
            kill -9 $outer
            touch /tmp/killed
            wait $!
            grep '"pattern":"process_died"' /tmp/told | grep -q "\"pid\":$outer,\"ns_pid\":$inner" && echo both numbers"#,
        code: 0,
        says: &[
            "without the pid namespace of the host",
            "doctor: 3",
            "--pid=host",
            "command: 3",
            "--pid=host",
            "demo: 3",
            "not the host's pid namespace",
            "both numbers",
        ],
        never: &[],
    },
    Trap {
        name: "user_namespace",
        kernels: &["6.12"],
        parameters: "",
        script: "
            unshare -U -r tcptrace doctor; echo doctor: $?
            unshare -U -r tcptrace watch --duration 1s",
        code: 3,
        says: &["missing the user namespace of the host", "doctor: 3", "not the host's user namespace"],
        never: &[],
    },
    Trap {
        name: "few_capabilities",
        kernels: &["7"],
        parameters: "",
        script: few!(",+bpf,+perfmon"),
        code: 5,
        says: &["without CAP_SYS_ADMIN, not seen", "doctor: 3", "CAP_SYS_ADMIN is missing", "lost:", "connection_refused"],
        never: &["FAIL"],
    },
    Trap {
        // Maps count as locked memory there.
        name: "few_capabilities_and_little_memory",
        kernels: &["5.10"],
        parameters: "",
        script: few!(",+bpf,+perfmon"),
        code: 3,
        says: &["CAP_SYS_RESOURCE", "doctor: 3", "CAP_SYS_RESOURCE"],
        never: &[],
    },
    Trap {
        name: "few_capabilities_and_enough_memory",
        kernels: &["5.10"],
        parameters: "",
        script: few!(",+bpf,+perfmon,+sys_resource"),
        code: 5,
        says: &["without CAP_SYS_ADMIN, not seen", "doctor: 3", "CAP_SYS_ADMIN is missing", "lost:", "connection_refused"],
        never: &["FAIL"],
    },
    Trap {
        name: "two_tracers",
        kernels: &["5.10", "7"],
        parameters: "",
        script: "
            begin /tmp/first; first=$watch
            begin /tmp/second; second=$watch
            refuse
            end $first; end $second
            echo first: $(told /tmp/first connection_refused) second: $(told /tmp/second connection_refused)",
        code: 0,
        says: &["first: 1 second: 1"],
        never: &[],
    },
    Trap {
        // Nothing can be attached to the end of a function, after its start was.
        name: "half_attached_to_functions",
        kernels: &["6.1", "6.12"],
        parameters: "",
        script: "
            mount -t tmpfs none /sys/devices/kprobe/format
            mount -t debugfs none /sys/kernel/debug
            begin /tmp/half --backend kprobe
            cat /tmp/half.said /sys/kernel/debug/kprobes/list
            refuse
            end $watch
            echo told: $(told /tmp/half connection_refused) left: $(wc -l </sys/kernel/debug/kprobes/list)",
        code: 0,
        says: &["no send_length", "no receive_length", "no call", "inet_sk_state_store+", "told: 1 left: 0"],
        never: &["tcp_sendmsg+", "tcp_recvmsg+", "__sys_connect+", "__sys_accept4+"],
    },
    Trap {
        // One of the six tracepoints is not there: the one of all system calls takes the place of the others.
        name: "half_attached_to_calls",
        kernels: &["6.12"],
        parameters: "",
        script: r#"
            begin /tmp/whole --backend tracepoint
            grep -o '"point":"sys_exit[^,]*' /tmp/whole; echo links: $(links $watch)
            end $watch
            mount -t tmpfs none /sys/kernel/tracing/events/syscalls/sys_exit_setsockopt
            begin /tmp/half --backend tracepoint
            grep -o '"point":"sys_exit[^,]*' /tmp/half; echo links: $(links $watch)
            refuse
            end $watch
            echo told: $(told /tmp/half connection_refused)"#,
        code: 0,
        says: &[r#""sys_exit_*""#, "links: 6", r#""sys_exit""#, "links: 0", "told: 1"],
        never: &[],
    },
    Trap {
        name: "cgroup_of_version_1",
        kernels: &["5.10", "6.1"],
        parameters: "",
        script: concat!(
            "
            umount /sys/fs/cgroup; mkdir /tmp/cgroup
            mount -t cgroup -o none,name=systemd cgroup /tmp/cgroup || skip this kernel has no cgroups of version 1
            inside=/tmp/cgroup/docker/", container!(), " list=tasks read=first\n",
            include_str!("container.sh")
        ),
        code: 0,
        says: &[concat!(r#""container":{"id":""#, container!(), r#"","runtime":"docker"}"#)],
        never: &[],
    },
    Trap {
        name: "cgroup_of_version_2",
        kernels: &["6.12"],
        parameters: "",
        script: concat!(
            "inside=/sys/fs/cgroup/system.slice/docker-", container!(), ".scope list=cgroup.procs\n",
            include_str!("container.sh")
        ),
        code: 0,
        says: &[concat!(r#""container":{"id":""#, container!(), r#"","runtime":"docker"}"#)],
        never: &[],
    },
];
