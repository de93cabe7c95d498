//! P06: accept() fails because there are no descriptors left.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Setting, Text, Trigger, Value, Verdict, View, Words,
    words::{owner, who},
};
use crate::{
    errno::Errno,
    event::Call,
    finding::{Fact, Severity},
};

/// How often accept() must fail.
pub(super) static COUNT: Setting = Setting {
    key: "accept_fd_exhausted.count",
    default: Value::Count(3),
    meaning: "how often accept() must fail within a second",
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "accept_fd_exhausted",
    severity: Severity::Critical,
    triggers: &[Trigger::On(Moment::Called)],
    supersedes: &[],
    settings: &[&COUNT],
    errnos: &["EMFILE", "ENFILE"],
    needs: &["call"],
    text: Text {
        en: Words {
            title: "accept() fails: no descriptors left",
            seen: "\
accept() returns EMFILE (the process has reached its limit of open files) or ENFILE (the host has), again and again. \
The connection it was to return stays in the queue, so an event loop is told of it at once and spins.",
            means: "\
The limit is too low for the load, or descriptors leak: connections in CLOSE_WAIT are the usual place to look. The \
queue fills meanwhile; then SYNs are dropped, and clients see slow connects and timeouts. Nobody gets an error from \
the server itself.",
            advice: "\
Count the process' descriptors and see what they are. Close what leaks, or raise RLIMIT_NOFILE (LimitNOFILE= of a \
systemd unit); for ENFILE raise fs.file-max.",
            confirm: "ls -l /proc/PID/fd | wc -l; grep files /proc/PID/limits",
        },
        zh: Words {
            title: "accept() 失败:描述符耗尽",
            seen: "\
accept() 反复返回 EMFILE(进程达到打开文件数上限)或 ENFILE(整机达到上限)。本应返回的连接仍留在队列里,事件循环立刻又被唤醒,于是空转。",
            means: "\
上限对负载来说太低,或者描述符泄漏:通常先看 CLOSE_WAIT 中的连接。与此同时队列被填满,随后 SYN 被丢弃,客户端看到连接缓慢或超时。服务器自己不会给任何人返回错误。",
            advice: "数一数进程的描述符并看它们是什么。关闭泄漏的,或提高 RLIMIT_NOFILE(systemd 单元的 LimitNOFILE=);ENFILE 则提高 fs.file-max。",
            confirm: "ls -l /proc/PID/fd | wc -l; grep files /proc/PID/limits",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "accept() fails three times in a second",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms   l fails EMFILE call=accept fd=6
                10ms  l fails EMFILE call=accept fd=6
                20ms  l fails EMFILE call=accept fd=6
            ",
            expect: &[
                "accept_fd_exhausted critical EMFILE local=nginx[17] fd=6 peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "it goes on: one storm",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms   l fails EMFILE call=accept fd=6
                10ms  l fails EMFILE call=accept fd=6
                20ms  l fails EMFILE call=accept fd=6
                30ms  l fails EMFILE call=accept fd=6
                40ms  l fails EMFILE call=accept fd=6
            ",
            expect: &["accept_fd_exhausted critical count=1", "accept_fd_exhausted critical count=2"],
        },
        Scenario {
            name: "now and then once",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms     l fails EMFILE call=accept fd=6
                900ms   l fails EMFILE call=accept fd=6
                1800ms  l fails EMFILE call=accept fd=6
            ",
            expect: &[],
        },
        Scenario {
            name: "another error: the listener was destroyed",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms   l fails EINVAL call=accept fd=6
                10ms  l fails EINVAL call=accept fd=6
                20ms  l fails EINVAL call=accept fd=6
            ",
            expect: &[],
        },
        Scenario {
            name: "two processes, each fewer times",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms   l fails EMFILE call=accept fd=6
                10ms  l fails EMFILE call=accept fd=6 by=nginx[18]
                20ms  l fails EMFILE call=accept fd=6
                30ms  l fails EMFILE call=accept fd=6 by=nginx[18]
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                l = 0.0.0.0:8080 > 0.0.0.0:0 in nginx[17]
                0ms   l fails ENFILE call=accept fd=6
                10ms  l fails ENFILE call=accept fd=6
                20ms  lost 1
                20ms  l fails ENFILE call=accept fd=6
            ",
            expect: &["accept_fd_exhausted critical ENFILE local=nginx[17] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Called, _), Some(end)) = (view.occasion, view.end) else { return Verdict::No };
    let Some((called, repeated)) = end.called.as_deref() else { return Verdict::No };
    let whose = match called.errno {
        Errno::EMFILE => "the process has as many files open as it may",
        Errno::ENFILE => "the host has as many files open as it may",
        _ => return Verdict::No,
    };
    if called.call != Call::Accept || (*repeated as u64) < view.host.count(&COUNT) {
        return Verdict::No;
    }
    let errno = called.errno;
    let own = &end.snapshot.socket;
    Verdict::Found(Box::new(Found {
        errno: Some(errno),
        facts: vec![
            ("queue_depth", Fact::Count(own.ack_backlog.into())),
            ("queue_limit", Fact::Count(own.max_ack_backlog.into())),
        ],
        ..Found::of(
            &PATTERN,
            0.99,
            format!(
                "accept() of {} at {} fails with {errno}: {whose}. What connects stays in the queue ({} wait, it \
                 takes {}).",
                who(owner(view), "a process"),
                end.tuple().local_address(),
                own.ack_backlog,
                own.max_ack_backlog.saturating_add(1),
            ),
        )
    }))
}
