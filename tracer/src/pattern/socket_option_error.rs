//! P70: a call was refused for its arguments: no error of a connection.

use super::{
    Found, Group, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::{
    errno::Errno,
    event::Call,
    finding::{Fact, Severity},
    sockopt,
};

pub(super) static PATTERN: Pattern = Pattern {
    id: "socket_option_error",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::Called)],
    supersedes: &[],
    settings: &[],
    errnos: &[
        "EBADF",
        "ENOTSOCK",
        "EFAULT",
        "EINVAL",
        "ENOPROTOOPT",
        "EOPNOTSUPP",
        "EDOM",
        "ENOBUFS",
        "ENOENT",
        "EPERM",
        "ENODEV",
        "EBUSY",
        "EISCONN",
        "ENOTCONN",
        "ENOMEM",
    ],
    needs: &["call"],
    text: Text {
        en: Words {
            title: "a socket option was refused",
            seen: "\
setsockopt() or getsockopt() failed. ENOPROTOOPT: the level has no such option, or it cannot be set (an unknown level \
gives ENOPROTOOPT to set, and EOPNOTSUPP to get of an IPv4 socket). EINVAL: the value is too short, out of range, or too late in the \
life of the socket. EDOM: only of SO_RCVTIMEO and SO_SNDTIMEO, with a fraction of a second that is none. ENOBUFS: too \
many multicast memberships; buffers that are too big are cut without an error. ENOENT: no such congestion control or \
ULP. EPERM: a capability is missing.",
            means: "\
This is no error of a connection. Programs try options to learn what the kernel has, so most of it is information. \
EBADF and ENOTSOCK are worth a look: the descriptor was closed, or is something else by now, which a second thread \
or a double close() does; such a program may write to other people's connections. EFAULT is a wrong pointer.",
            advice: "\
Nothing, for an option that was only tried. For EBADF and ENOTSOCK look for a descriptor that is closed twice, or \
used by one thread while another closes it.",
            confirm: "strace -f -e trace=setsockopt,getsockopt,close -p PID",
        },
        zh: Words {
            title: "套接字选项被拒绝",
            seen: "\
setsockopt() 或 getsockopt() 失败。ENOPROTOOPT:该级别没有这个选项,或者它不可设置(未知级别:设置得 ENOPROTOOPT,在 IPv4 套接字上读取得 EOPNOTSUPP)。EINVAL:值太短、越界,或在套接字的生命期中为时已晚。EDOM:只有 SO_RCVTIMEO、SO_SNDTIMEO 的微秒部分不合法时。ENOBUFS:多播成员太多;过大的缓冲区只会被悄悄截短。ENOENT:没有这种拥塞控制或 ULP。EPERM:缺少权能。",
            means: "\
这不是连接错误。程序常常试探选项来了解内核,所以大多只是信息。EBADF 和 ENOTSOCK 值得一看:描述符已被关闭,或者已经是别的东西——另一个线程或重复 close() 会造成这种情况;这样的程序可能写到别人的连接里。EFAULT 是错误的指针。",
            advice: "只是试探的选项不必处理。EBADF 和 ENOTSOCK 要查找被关闭两次的描述符,或一个线程使用时被另一个线程关闭的描述符。",
            confirm: "strace -f -e trace=setsockopt,getsockopt,close -p PID",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "an option is tried that this kernel does not have",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c fails ENOENT call=set:SOL_TCP/TCP_ULP fd=5
            ",
            expect: &[
                "socket_option_error info ENOENT local=curl[42] fd=5 peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "one finding a process, option and errno",
            trace: "
                a = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                b = 10.0.0.1:40001 > 10.0.0.3:8081 out curl[42]
                0ms  a fails ENOENT call=set:SOL_TCP/TCP_ULP fd=5
                1ms  b fails ENOENT call=set:SOL_TCP/TCP_ULP fd=6
                2ms  b fails EINVAL call=set:SOL_TCP/TCP_ULP fd=6
                3ms  b fails ENOENT call=set:SOL_TCP/TCP_CONGESTION fd=6
                4ms  a fails ENOENT call=set:SOL_TCP/TCP_ULP fd=5
            ",
            expect: &[
                "socket_option_error info ENOENT count=1",
                "socket_option_error info EINVAL count=1",
                "socket_option_error info ENOENT count=1",
                "socket_option_error info ENOENT count=2",
            ],
        },
        Scenario {
            name: "the descriptor is closed",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c fails EBADF call=set:SOL_TCP/TCP_NODELAY fd=5 bare
            ",
            expect: &["socket_option_error warning EBADF local=curl[42] fd=5"],
        },
        Scenario {
            name: "accept() on what is no socket",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c fails ENOTSOCK call=accept fd=5 bare
            ",
            expect: &["socket_option_error warning ENOTSOCK local=curl[42] fd=5"],
        },
        Scenario {
            name: "SO_ERROR told of an error of the connection: another pattern's matter",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c CLOSE>SYN_SENT owned
                1ms  c reset-received
                1ms  c SYN_SENT>CLOSE err=ECONNREFUSED
                2ms  c fails ECONNREFUSED call=so_error fd=5
            ",
            expect: &["connection_refused warning ECONNREFUSED"],
        },
        Scenario {
            name: "shutdown() of a connection that is gone",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  c fails ENOTCONN call=shutdown fd=5
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it: it stands by itself, and is marked",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms  lost 2
                0ms  c fails EBADF call=get:SOL_SOCKET/SO_TYPE fd=5 bare
            ",
            expect: &["socket_option_error warning EBADF missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Called, _), Some(end)) = (view.occasion, view.end) else { return Verdict::No };
    let Some((called, _)) = end.called.as_deref() else { return Verdict::No };
    let errno = called.errno;
    let argument = matches!(errno, Errno::EBADF | Errno::ENOTSOCK | Errno::EFAULT);
    let (what, key) = match called.call {
        Call::SetOption { level, option } | Call::GetOption { level, option } => {
            let set = matches!(called.call, Call::SetOption { .. });
            let (verb, way) = if set { ("set", 0) } else { ("read", 1 << 63) };
            (format!("could not {verb} {}", sockopt::name(level, option)), option_key(level, option) ^ way)
        }
        Call::Connect | Call::Accept | Call::Shutdown if argument => {
            (format!("could not call {}()", called.call.name()), u64::MAX)
        }
        _ => return Verdict::No,
    };
    let why = match errno {
        Errno::EBADF => " The descriptor is not open.",
        Errno::ENOTSOCK => " The descriptor is no socket's.",
        Errno::EFAULT => " An address points outside the process.",
        _ => "",
    };
    let process = who(owner(view), "A process");
    Verdict::Found(Box::new(Found {
        severity: if argument { Severity::Warning } else { PATTERN.severity },
        errno: Some(errno),
        facts: vec![("call", Fact::Text(called.call.name().to_owned()))],
        group: Group::Alike(key ^ (u64::from(errno.number().unsigned_abs()) << 48)),
        ..Found::of(&PATTERN, 1.0, format!("{process} {what} on descriptor {}: {errno}.{why}", called.fd))
    }))
}

/// Tells options apart.
fn option_key(level: i32, option: i32) -> u64 {
    u64::from(level.unsigned_abs()) << 32 | u64::from(option.unsigned_abs())
}
