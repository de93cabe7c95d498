//! P07: an answer came to a SYN that nobody here has sent.

use super::{Found, Group, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words};
use crate::finding::Severity;

pub(super) static PATTERN: Pattern = Pattern {
    id: "embryonic_reset",
    severity: Severity::Info,
    triggers: &[Trigger::On(Moment::Loose)],
    supersedes: &[],
    settings: &[],
    errnos: &[],
    needs: &["reset_sent"],
    text: Text {
        en: Words {
            title: "a RST answered a SYN-ACK that nobody here asked for",
            seen: "\
A SYN-ACK came for which this host has no socket, and its kernel answered with a RST. One record a window for each \
network namespace, with their number. At the other host the half-open connection goes without a word to anybody; only \
EmbryonicRsts counts it there.",
            means: "\
Somebody sends SYNs with an address of this host: a flood elsewhere of which this is the backscatter, or a scan; or a \
program here sends them by a raw socket (nmap -sS, masscan), of which the kernel knows nothing. An answer that comes long \
after its connect() was given up looks the same. No connection of this host is hurt.",
            advice: "As a rule nothing. Many of them, from few services: see whether a scanner runs here.",
            confirm: "nstat -az TcpOutRsts TcpExtEmbryonicRsts; ss -lpw",
        },
        zh: Words {
            title: "以 RST 应答了无人请求的 SYN-ACK",
            seen: "\
到来的 SYN-ACK 在本机没有对应的套接字,内核以 RST 应答。每个网络命名空间在一个窗口内只有一条记录,带有次数。对方主机上的半开连接悄然消失,不通知任何进程;那里只有 EmbryonicRsts 计数。",
            means: "\
有人用本机的地址发送 SYN:别处的洪泛(这里是其反向散射)或扫描;或者本机的程序用 raw 套接字发送(nmap -sS、masscan),内核对此一无所知。connect() 放弃很久之后才到的应答看起来也一样。本机的连接不受影响。",
            advice: "通常无需处理。如果很多,且来自少数服务:看看本机是否运行着扫描器。",
            confirm: "nstat -az TcpOutRsts TcpExtEmbryonicRsts; ss -lpw",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "somebody else used this host's address",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms    s loose reason=NO_SOCKET answers=SA:0
            ",
            expect: &[
                "embryonic_reset info errno=none local=none peer=none reason=NO_SOCKET also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "the forged port is a listener's: it is no more asked than the others",
            trace: "
                l = 10.0.0.1:8080 > 0.0.0.0:0 in nginx[17]
                s = 10.0.0.2:80 > 10.0.0.1:8080
                0ms    l CLOSE>LISTEN owned
                10ms   s loose reason=TCP_FLAGS answers=SA:0
            ",
            expect: &["embryonic_reset info local=none peer=none reason=TCP_FLAGS"],
        },
        Scenario {
            name: "a scan is one record a window",
            trace: "
                a = 10.0.0.2:80 > 10.0.0.1:40000
                b = 10.0.0.2:443 > 10.0.0.1:40000
                c = 10.0.0.3:80 > 10.0.0.1:40000
                0ms    a loose reason=NO_SOCKET answers=SA:0
                1ms    b loose reason=NO_SOCKET answers=SA:0
                2ms    c loose reason=NO_SOCKET answers=SA:0
            ",
            expect: &["embryonic_reset count=1", "embryonic_reset count=2"],
        },
        Scenario {
            name: "the connect that asked was abandoned a moment ago",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = swap c
                0ms    c CLOSE>SYN_SENT owned
                20ms   c SYN_SENT>CLOSE owned dead shutdown=3 unacked=1
                300ms  s loose reason=NO_SOCKET answers=SA:0
            ",
            expect: &["connect_abandoned info local=curl[42]"],
        },
        Scenario {
            name: "the connect that asked had timed out",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                s = swap c
                0ms     c CLOSE>SYN_SENT owned
                3000ms  c SYN_SENT>CLOSE err=ETIMEDOUT retransmits=1 unacked=1
                4000ms  s loose reason=NO_SOCKET answers=SA:0
            ",
            expect: &["connect_timeout warning local=curl[42]"],
        },
        Scenario {
            name: "a SYN to a closed port, and data for a connection that is forgotten",
            trace: "
                a = 10.0.0.2:80 > 10.0.0.1:40000
                b = 10.0.0.2:443 > 10.0.0.1:40001
                0ms    a loose reason=NO_SOCKET answers=S:0
                1ms    b loose reason=NO_SOCKET answers=PA:9
            ",
            expect: &[],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                s = 10.0.0.2:8080 > 10.0.0.1:40000
                0ms    lost 1
                1ms    s loose reason=NO_SOCKET answers=SA:0
            ",
            expect: &["embryonic_reset info local=none missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Loose, _), Some(end)) = (*view.occasion, view.end) else { return Verdict::No };
    let tuple = end.tuple();
    Verdict::Found(Box::new(Found {
        // A scan goes to many services, a flood comes from many ports.
        group: Group::Alike(tuple.netns.into()),
        ..Found::of(
            &PATTERN,
            0.8,
            format!(
                "{} answered a SYN that nobody here has sent from {}; the kernel answered RST.",
                tuple.remote_address(),
                tuple.local_address(),
            ),
        )
    }))
}
