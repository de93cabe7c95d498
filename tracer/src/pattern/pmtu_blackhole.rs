//! P41: full segments do not get through, and nobody says so.

use super::{
    Found, Moment, Occasion, Pattern, Scenario, Text, Trigger, Verdict, View, Words,
    words::{owner, who},
};
use crate::finding::{Fact, Severity};

pub(super) static PATTERN: Pattern = Pattern {
    id: "pmtu_blackhole",
    severity: Severity::Warning,
    triggers: &[Trigger::On(Moment::Blackholed)],
    supersedes: &["retransmission_storm"],
    settings: &[],
    errnos: &[],
    needs: &["retransmit"],
    text: Text {
        en: Words {
            title: "full segments do not get through",
            seen: "\
The handshake and small requests pass, a large one hangs: a segment of full size is sent again and again, while the \
peer has got a smaller one after it. If it goes on the connection ends with ETIMEDOUT.",
            means: "\
Somewhere on the path packets of full size do not fit (a tunnel, PPPoE, a VPN), the router there drops them, and its \
ICMP \"fragmentation needed\" (IPv6: \"packet too big\") does not arrive: a firewall takes it. It could be chance, or \
a device that dislikes large packets for another reason.",
            advice: "\
Let ICMP type 3 code 4 (ICMPv6 type 2) pass, or lower the MTU or the MSS on the way (`--clamp-mss-to-pmtu`). On this \
host net.ipv4.tcp_mtu_probing=1 finds a size that passes.",
            confirm: "ping -M do -s 1472 -c 3 ADDRESS",
        },
        zh: Words {
            title: "满长报文段无法通过",
            seen: "\
握手和小请求能通过,大的会挂住:一个满长的报文段被一再重传,而对方已收到它之后较小的报文段。如果持续下去,连接以 ETIMEDOUT 结束。",
            means: "\
路径上某处容不下满长的报文(隧道、PPPoE、VPN),那里的路由器丢弃它们,而它的 ICMP \"需要分片\"(IPv6:\"报文过大\")没有到达:被防火墙拦下。也可能是偶然,或某个设备因其他原因不喜欢大报文。",
            advice: "\
放行 ICMP 类型 3 代码 4(ICMPv6 类型 2),或在路径上降低 MTU 或 MSS(`--clamp-mss-to-pmtu`)。在本机上,net.ipv4.tcp_mtu_probing=1 会找到能通过的大小。",
            confirm: "ping -M do -s 1472 -c 3 ADDRESS",
        },
    },
    judge,
    scenarios: &[
        Scenario {
            name: "a full segment in vain, its tail arrived",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED
                2000ms  c retransmit blackhole length=1448 mss=1448 sacked=1 times=4 retransmits=2 unacked=3000
            ",
            expect: &[
                "pmtu_blackhole warning errno=none local=curl[42] peer=none reason=none also= count=1 signal=none complete",
            ],
        },
        Scenario {
            name: "and then the kernel gives up",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED
                2000ms  c retransmit blackhole length=1448 mss=1448 sacked=1 times=4 retransmits=2 unacked=3000
                8000ms  c ESTABLISHED>CLOSE err=ETIMEDOUT retransmits=5 unacked=3000 silent=6000
            ",
            expect: &["pmtu_blackhole warning local=curl[42]", "retransmission_timeout warning local=curl[42]"],
        },
        Scenario {
            name: "a small segment in vain: not its size",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED
                2000ms  c retransmit length=100 mss=1448 times=4 retransmits=2 unacked=100
            ",
            expect: &[],
        },
        Scenario {
            name: "an ICMP error says why",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                0ms     c CLOSE>SYN_SENT owned
                1ms     c SYN_SENT>ESTABLISHED
                2000ms  c retransmit soft=EHOSTUNREACH blackhole length=1448 mss=1448 sacked=1 times=4 retransmits=2 unacked=3000
            ",
            expect: &["soft_error warning local=curl[42]"],
        },
        Scenario {
            name: "records were lost around it",
            trace: "
                c = 10.0.0.1:40000 > 10.0.0.2:8080 out curl[42]
                1ms     c SYN_SENT>ESTABLISHED
                1999ms  lost 1
                2000ms  c retransmit blackhole length=1448 mss=1448 sacked=1 times=4 retransmits=2 unacked=3000
            ",
            expect: &["pmtu_blackhole warning local=curl[42] missing=ring_full"],
        },
    ],
};

fn judge(view: &View<'_>) -> Verdict {
    let (Occasion::On(Moment::Blackholed, _), Some(end)) = (*view.occasion, view.end) else {
        return Verdict::No;
    };
    let Some(resent) = end.resent.filter(|resent| resent.blackhole) else { return Verdict::No };
    // An ICMP error, or a refusal of this host, is another reason.
    if end.snapshot.soft_errno().is_some() || end.snapshot.send_errno().is_some() {
        return Verdict::No;
    }
    Verdict::Found(Box::new(Found {
        facts: vec![
            ("segment_bytes", Fact::Count(resent.length.into())),
            ("largest_segment_bytes", Fact::Count(resent.mss.into())),
            ("attempts", Fact::Count(resent.times.into())),
            ("segments_after_it", Fact::Count(resent.sacked.into())),
            ("unacked_bytes", Fact::Count(end.snapshot.unacked().into())),
        ],
        ..Found::of(
            &PATTERN,
            0.7,
            format!(
                "{} sent a segment of {} bytes to {} again {} times in vain, while smaller ones got through: packets of \
                 full size are probably lost on the path, without a word.",
                who(owner(view), "A process"),
                resent.length,
                end.tuple().remote_address(),
                resent.times,
            ),
        )
    }))
}
