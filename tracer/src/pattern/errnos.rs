//! What each errno of the field means on Linux, and where books, POSIX and BSD say otherwise.

use super::{CATALOGUE, Lang, Pattern};

/// The page of an errno, or of the signal that comes with one.
#[derive(Debug)]
pub struct ErrnoPage {
    /// Its name.
    pub name: &'static str,
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

impl ErrnoPage {
    /// The words in a language.
    pub const fn of(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en,
            Lang::Zh => self.zh,
        }
    }

    /// The patterns that give it.
    pub fn patterns(&self) -> impl Iterator<Item = &'static Pattern> {
        CATALOGUE.iter().copied().filter(|pattern| pattern.errnos.contains(&self.name))
    }
}

/// The page of this name, in any case.
pub fn errno_page(name: &str) -> Option<&'static ErrnoPage> {
    ERRNO_PAGES.iter().find(|page| page.name.eq_ignore_ascii_case(name))
}

/// Every page, by the notes' order: the accept queue, resets, timeouts, the network, socket options.
pub static ERRNO_PAGES: &[ErrnoPage] = &[
    ErrnoPage {
        name: "ECONNABORTED",
        en: "\
Books say: a client that resets its connection while it waits in the accept queue makes accept() fail with \
ECONNABORTED (POSIX), or disappears silently (Berkeley). Linux does neither. The connection stays in the queue, \
accept() returns it, and the process learns of the RST by ECONNRESET from its first read or write; getpeername() \
fails with ENOTCONN. There is nothing to ignore in accept() and no reason to call it again.

On Linux ECONNABORTED comes from an administrator who destroys a socket (`ss -K`, SOCK_DESTROY), and from connect() \
when it is called again on a socket whose error SO_ERROR had already taken.

Its number is 103 on most architectures, 53 on Alpha and 130 on MIPS: programs compare names.",
        zh: "\
书上说:客户端在 accept 队列中等待时复位连接,会使 accept() 返回 ECONNABORTED(POSIX),或连接悄悄消失(Berkeley)。Linux 两者都不是。连接留在队列中,accept() 会返回它,进程在第一次读写时从 ECONNRESET 得知 RST;getpeername() 返回 ENOTCONN。accept() 中没有什么可忽略的,也没有理由再调用一次。

在 Linux 上,ECONNABORTED 来自管理员销毁套接字(`ss -K`、SOCK_DESTROY),以及在错误已被 SO_ERROR 取走的套接字上再次调用 connect()。

它的编号在多数架构上是 103,在 Alpha 上是 53,在 MIPS 上是 130:程序应比较名字。",
    },
    ErrnoPage {
        name: "ECONNRESET",
        en: "\
A RST arrived for an open connection, or the kernel reset it itself. It is told once: by the first read or write, \
without a signal. After that reads give end of file, and writes EPIPE with SIGPIPE.

Books say: a server process that ends before its client gives ECONNRESET. On Linux only if it had unread data, closed \
with SO_LINGER 0, or its host has forgotten the connection; a plain end is a FIN, and the client reads end of file. \
Once that FIN was received no read ever tells of a later RST: a write, SO_ERROR or poll() does, and the errno is then \
EPIPE. A process can also reset itself: shutdown(SHUT_RDWR) with the descriptor kept open, and data still coming.

After a reboot the other host answers with a RST, but only when something is sent: an idle client learns nothing. An \
idle server learns it when its client connects anew from the same port. And a RST need not be the peer's: firewalls \
and other devices send them in its name.",
        zh: "\
打开的连接收到了 RST,或内核自己复位了它。它只告知一次:由第一次读或写给出,不带信号。此后读得到文件结束,写得到 EPIPE 和 SIGPIPE。

书上说:服务器进程先于客户端结束会产生 ECONNRESET。在 Linux 上仅当它有未读数据、以 SO_LINGER 0 关闭,或其主机忘记了连接时才如此;普通的结束是 FIN,客户端读到文件结束。收到 FIN 之后,读永远不会告知后来的 RST:写、SO_ERROR 或 poll() 才会,而此时的 errno 是 EPIPE。进程也可能复位自己:shutdown(SHUT_RDWR) 而保留描述符,数据仍在到来。

对方主机重启后会以 RST 回答,但只有在发送数据时:空闲的客户端一无所知。空闲的服务器则在客户端从同一端口重新连接时得知。RST 也未必来自对方:防火墙和其他设备会以它的名义发送。",
    },
    ErrnoPage {
        name: "EPIPE",
        en: "\
A write to a connection on which nothing can be sent any more; SIGPIPE comes with it unless MSG_NOSIGNAL is given.

Books say: the first write to a connection that the peer has closed is answered by a RST, the second gives EPIPE. \
True on Linux: the first write succeeds, which says nothing about delivery. After that RST the errno is EPIPE at \
once, not ECONNRESET, because the peer's FIN had come before. After a RST without a FIN the first failing write gives \
ECONNRESET without a signal, and only the second EPIPE. The process' own shutdown(SHUT_WR), and a socket that was \
never connected, give EPIPE without any RST.",
        zh: "\
写了一个已不能再发送的连接;除非使用 MSG_NOSIGNAL,SIGPIPE 随之而来。

书上说:对方关闭后,第一次写得到 RST,第二次写得到 EPIPE。在 Linux 上成立:第一次写成功,但这并不说明已送达。此 RST 之后 errno 立即是 EPIPE 而不是 ECONNRESET,因为对方的 FIN 先到。没有 FIN 的 RST 之后,第一次失败的写给出不带信号的 ECONNRESET,第二次才是 EPIPE。进程自己的 shutdown(SHUT_WR) 以及从未连接的套接字,不需要任何 RST 也会给出 EPIPE。",
    },
    ErrnoPage {
        name: "SIGPIPE",
        en: "\
Sent to the thread that writes, before the write returns EPIPE. Its default action ends the process, without a core \
dump and without a line in any log: a client that dies can take a server with it at the server's second failing \
write. Check what write() returns: the first failure is usually ECONNRESET. Ignore the signal, or send with \
MSG_NOSIGNAL.",
        zh: "\
在 write 返回 EPIPE 之前发给正在写的线程。默认动作是结束进程,没有 core dump,也没有任何日志:一个死掉的客户端可以在服务器第二次失败的写时带走服务器。要检查 write() 的返回值:第一次失败通常是 ECONNRESET。忽略该信号,或用 MSG_NOSIGNAL 发送。",
    },
    ErrnoPage {
        name: "ETIMEDOUT",
        en: "\
Books know it as \"connect time out\", when the server's host has crashed. On Linux six timers give it: the SYN was \
not answered (127 s by default until Linux 6.4, 134 s since 6.5); data was not acknowledged (about 15 minutes, \
tcp_retries2); the program's own TCP_USER_TIMEOUT passed; keepalive probes were not answered (2 h 11 min, only with \
SO_KEEPALIVE and nothing in flight); the peer's window stayed closed and it vanished; and the end of a connection \
that was closed already, of which no program is told.

A host that crashes while nothing is in flight gives no error at all, ever, without keepalive or a heartbeat. A rule \
of this host's own firewall that drops what goes out looks the same as a silent peer. An ICMP error that had come \
before replaces ETIMEDOUT by its own errno.",
        zh: "\
书上称之为 \"connect time out\",发生在服务器主机崩溃时。在 Linux 上有六种定时器给出它:SYN 无应答(6.4 及以前默认 127 秒,6.5 起 134 秒);数据未被确认(约 15 分钟,tcp_retries2);程序自己的 TCP_USER_TIMEOUT 到期;keepalive 探测无应答(2 小时 11 分,仅在设置 SO_KEEPALIVE 且没有数据在途时);对方窗口一直关闭并且消失;以及已关闭连接的结束,此时没有程序被告知。

如果主机崩溃时没有数据在途,没有 keepalive 或心跳就永远不会有任何错误。本机防火墙丢弃外出报文的规则,看起来与沉默的对方一样。此前收到的 ICMP 错误会用它自己的 errno 取代 ETIMEDOUT。",
    },
    ErrnoPage {
        name: "EHOSTUNREACH",
        en: "\
Books say: a router answered \"destination unreachable\". True for connect(): the first such ICMP error ends it, or \
the second when the socket was locked. This host says it itself after about three seconds when the next hop does not \
answer ARP or neighbour discovery. On an open connection the error is only remembered: the connection goes on, \
retransmits, and fails with this errno instead of ETIMEDOUT if it ever does. SO_ERROR reads the remembered error of a \
connection that lives: a program that closes it then was too quick.",
        zh: "\
书上说:路由器回答了 \"destination unreachable\"。对 connect() 成立:第一个这样的 ICMP 错误就结束它,如果套接字被锁住则是第二个。下一跳不应答 ARP 或邻居发现时,本机在约三秒后自己给出它。在打开的连接上错误只被记住:连接继续、重传,如果最终失败则以它取代 ETIMEDOUT。SO_ERROR 会读到活着的连接上记住的错误:程序因此关闭连接就太急了。",
    },
    ErrnoPage {
        name: "ENETUNREACH",
        en: "\
A router answered that it knows no way to the network; or this host has no route, and connect() fails at once, \
before any segment is sent. An interface that is down gives this too, because its routes are gone; ENETDOWN is for \
raw and packet sockets.",
        zh: "\
路由器回答它不知道通往该网络的路径;或者本机没有路由,connect() 立即失败,一个报文段都没有发送。接口关闭也会给出它,因为它的路由已消失;ENETDOWN 只用于 raw 和 packet 套接字。",
    },
    ErrnoPage {
        name: "ECONNREFUSED",
        en: "\
A RST answered the SYN: nothing listens on that port, or a firewall answers so. Without a RST it is an ICMP error \
\"port unreachable\", the default answer of iptables' REJECT, and something may well listen there.",
        zh: "\
SYN 得到 RST 应答:该端口上没有人监听,或防火墙这样回答。如果没有 RST,则是 ICMP 错误 \"port unreachable\"(iptables REJECT 的默认回答),那里很可能有服务在监听。",
    },
    ErrnoPage {
        name: "EACCES",
        en: "\
From connect(): a router says over IPv6 that the way is prohibited, or a `prohibit` route or a security policy of \
this host does. An own firewall that drops what goes out gives no error for TCP: the connect times out.",
        zh: "\
来自 connect():路由器通过 IPv6 表示路径被禁止,或本机的 `prohibit` 路由或安全策略禁止。丢弃外出报文的本机防火墙不会为 TCP 返回错误:连接会超时。",
    },
    ErrnoPage {
        name: "ENOPROTOOPT",
        en: "\
From setsockopt() and getsockopt(): the option is not known at that level, or cannot be set. Books say that it is no \
error of a connection; there is one exception: an ICMP error \"protocol unreachable\" makes connect() fail with it. \
For an unknown level setsockopt() gives ENOPROTOOPT; getsockopt() gives EOPNOTSUPP of an IPv4 socket, ENOPROTOOPT of \
an IPv6 socket.",
        zh: "\
来自 setsockopt() 和 getsockopt():该层没有这个选项,或不能设置。书上说它不是连接错误;有一个例外:ICMP 错误 \"protocol unreachable\" 会使 connect() 返回它。层号未知时,setsockopt() 给出 ENOPROTOOPT;getsockopt() 在 IPv4 套接字上给出 EOPNOTSUPP,在 IPv6 套接字上给出 ENOPROTOOPT。",
    },
    ErrnoPage {
        name: "EBADF",
        en: "The descriptor is not open: as a rule another thread has closed it. Every call on a socket may give it.",
        zh: "描述符没有打开:通常是另一个线程关闭了它。套接字上的每个调用都可能给出它。",
    },
    ErrnoPage {
        name: "ENOTSOCK",
        en: "The descriptor is a file, a pipe or an epoll instance: as a rule its number was closed and used again.",
        zh: "描述符是文件、管道或 epoll 实例:通常是该编号被关闭后又被重新使用。",
    },
    ErrnoPage {
        name: "EFAULT",
        en: "The address of an option's value or length is not the process's.",
        zh: "选项值或长度的地址不属于该进程。",
    },
    ErrnoPage {
        name: "EINVAL",
        en: "\
From setsockopt(): the length is too short, the value is out of range, or the socket is in a state that does not \
allow it. From accept(): the socket does not listen, or its listener was destroyed. From connect(): a blackhole route, \
or an address of the wrong length.",
        zh: "\
来自 setsockopt():长度太短、值超出范围,或套接字的状态不允许。来自 accept():套接字没有监听,或监听者已被销毁。来自 connect():黑洞路由,或地址长度不对。",
    },
    ErrnoPage {
        name: "EDOM",
        en: "On Linux only from SO_RCVTIMEO and SO_SNDTIMEO, whose microseconds must be below 1,000,000.",
        zh: "在 Linux 上仅来自 SO_RCVTIMEO 和 SO_SNDTIMEO,其微秒数必须小于 1,000,000。",
    },
    ErrnoPage {
        name: "EADDRNOTAVAIL",
        en: "\
From connect(): no local port is free for this destination (`net.ipv4.ip_local_port_range`; connections in TIME_WAIT \
count), or the very pair of addresses and ports that was bound is in use already, or this host has no IPv6 address to \
send from. From bind(): the address is not this host's; when all ports are taken bind() says EADDRINUSE.",
        zh: "来自 connect():到该目的地已没有空闲的本地端口(`net.ipv4.ip_local_port_range`;TIME_WAIT 中的连接也算),或者已绑定的地址和端口组合正在使用,或者本机没有可用作源的 IPv6 地址。来自 bind():该地址不是本机的;端口用尽时 bind() 返回 EADDRINUSE。",
    },
    ErrnoPage {
        name: "EISCONN",
        en: "\
From connect() on a connected socket. setsockopt() gives it for keys of TCP-AO only (since Linux 6.7); otherwise a \
connected socket gives EINVAL. sendto() with an address on connected TCP succeeds: the address is ignored.",
        zh: "来自已连接套接字上的 connect()。setsockopt() 仅在 TCP-AO 密钥时给出它(Linux 6.7 起);否则已连接的套接字给出 EINVAL。在已连接的 TCP 上带地址的 sendto() 会成功:地址被忽略。",
    },
    ErrnoPage {
        name: "ENOBUFS",
        en: "\
From setsockopt(): too many multicast memberships or filters. A send or receive buffer that is too large is no \
error: it is capped silently.",
        zh: "来自 setsockopt():组播成员或过滤器过多。过大的收发缓冲区不是错误:会被悄悄截到上限。",
    },
    ErrnoPage {
        name: "EMFILE",
        en: "\
From accept() and socket(): the process has as many files open as RLIMIT_NOFILE allows. accept() takes nothing from \
the queue then: the connection waits on, and an event loop is told of it again at once.",
        zh: "来自 accept() 和 socket():进程打开的文件数已达 RLIMIT_NOFILE。此时 accept() 不从队列取走任何东西:连接继续等待,事件循环立刻又得到通知。",
    },
    ErrnoPage {
        name: "ENFILE",
        en: "As EMFILE, but the whole host has as many files open as fs.file-max allows.",
        zh: "同 EMFILE,但达到上限的是整机的 fs.file-max。",
    },
    ErrnoPage {
        name: "EPERM",
        en: "\
From setsockopt(): a capability is missing (SO_MARK, SO_PRIORITY above 6, SO_RCVBUFFORCE, TCP_REPAIR need \
CAP_NET_ADMIN). From connect(): a security policy forbids it, for instance a BPF program of the cgroup.",
        zh: "\
来自 setsockopt():缺少权能(SO_MARK、大于 6 的 SO_PRIORITY、SO_RCVBUFFORCE、TCP_REPAIR 需要 CAP_NET_ADMIN)。来自 connect():安全策略禁止,例如 cgroup 的 BPF 程序。",
    },
    ErrnoPage {
        name: "EOPNOTSUPP",
        en: "\
From getsockopt(): the level is not known (IPv4 sockets; IPv6 sockets give ENOPROTOOPT), or the socket is of a kind \
that has no such options, as a UNIX socket has none of TCP.",
        zh: "来自 getsockopt():层号未知(IPv4 套接字;IPv6 套接字给出 ENOPROTOOPT),或这种套接字没有此类选项,例如 UNIX 套接字没有 TCP 的选项。",
    },
    ErrnoPage {
        name: "ENOENT",
        en: "From setsockopt(): TCP_CONGESTION or TCP_ULP names what this kernel does not have, or has not loaded.",
        zh: "来自 setsockopt():TCP_CONGESTION 或 TCP_ULP 指定的名字本内核没有,或没有加载。",
    },
    ErrnoPage {
        name: "ENODEV",
        en: "From setsockopt(): SO_BINDTODEVICE, or a multicast option, names an interface that is not there.",
        zh: "来自 setsockopt():SO_BINDTODEVICE 或多播选项指定的网卡不存在。",
    },
    ErrnoPage {
        name: "EBUSY",
        en: "From setsockopt(): the option is taken already, as with a second TCP_ULP.",
        zh: "来自 setsockopt():该选项已被占用,例如第二次设置 TCP_ULP。",
    },
    ErrnoPage {
        name: "ENOTCONN",
        en: "\
The socket is not connected, or not any more: from getpeername() and shutdown() after a RST, and from setsockopt() of \
TCP_ULP before connect().",
        zh: "套接字没有连接,或不再连接:来自 RST 之后的 getpeername() 和 shutdown(),以及 connect() 之前设置 TCP_ULP。",
    },
    ErrnoPage {
        name: "ENOMEM",
        en: "From setsockopt(): the kernel has no memory, or the socket's option memory (optmem_max) is used up.",
        zh: "来自 setsockopt():内核没有内存,或套接字的选项内存(optmem_max)已用完。",
    },
];

#[cfg(test)]
mod tests {
    use super::{ERRNO_PAGES, errno_page};
    use crate::{errno::Errno, pattern::CATALOGUE};

    #[test]
    fn every_page_is_an_errno_and_every_errno_of_a_pattern_has_a_page() {
        for page in ERRNO_PAGES {
            assert!(page.name == "SIGPIPE" || Errno::by_name(page.name).is_some(), "{}", page.name);
            assert!(std::ptr::eq(errno_page(&page.name.to_lowercase()).expect("found"), page));
        }
        for pattern in CATALOGUE {
            assert!(pattern.errnos.iter().all(|name| errno_page(name).is_some()), "{}", pattern.id);
        }
    }
}
