//! The other tools: how each is called, and what it shows of a connection.

use super::super::storm;
use crate::install::server;
use anyhow::{Context as _, Result};
use std::process::{Command, Stdio};

/// A tool that shows TCP connections as they come and go.
#[derive(Debug)]
pub(super) struct Tool {
    /// In the table.
    pub(super) title: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// Lines for one connection of a storm.
    pub(super) lines: f64,
    /// What there is a line for each of.
    pub(super) shows: &'static str,
    /// Whether it is made of BPF programs whose run time the kernel can measure.
    pub(super) bpf: bool,
    /// Whether it says on standard error how much it lost.
    pub(super) says: bool,
}

/// One change of state a line: time, process, states, addresses, ports.
const SCRIPT: &str = r#"tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
    printf("%llu %d %s %d %d %s:%d %s:%d\n", nsecs, pid, comm, args->oldstate, args->newstate,
        ntop(args->saddr), args->sport, ntop(args->daddr), args->dport);
}"#;

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        title: "`tcplife`",
        program: "tcplife",
        arguments: &[],
        lines: 2.0,
        shows: "ends of connections",
        bpf: true,
        says: true,
    },
    Tool {
        title: "`tcpstates`",
        program: "tcpstates",
        arguments: &[],
        lines: storm::CHANGES,
        shows: "changes of state",
        bpf: true,
        says: true,
    },
    Tool {
        title: "`bpftrace`",
        program: "bpftrace",
        arguments: &["-e", SCRIPT],
        lines: storm::CHANGES,
        shows: "changes of state",
        bpf: true,
        says: false,
    },
    Tool {
        title: "`tcpdump`",
        program: "tcpdump",
        // -Z: Debian's gives up root for a user that only its installation makes.
        arguments: &["-i", "lo", "-nn", "-Z", "root", "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"],
        lines: 4.0,
        shows: "SYNs and FINs",
        bpf: false,
        says: true,
    },
];

/// Runs what follows it with tracefs mounted, for that process alone where nobody has mounted it.
const WITH_TRACEFS: &str =
    "[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec \"$@\"";

impl Tool {
    /// The process that this starts becomes the tool itself.
    pub(super) fn command(&self) -> Result<Command> {
        let program =
            server::program(self.program).with_context(|| format!("there is no {} here", self.program))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", WITH_TRACEFS, "sh"]).arg(program).args(self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Changes, ends or segments of a storm of so many connections, a line each.
    pub(super) fn expected(&self, connections: u32) -> f64 {
        self.lines * f64::from(connections)
    }
}

/// A regular expression for a line about one of these ports of 127.0.0.1, in the form of any of the tools.
pub(super) fn about_ports(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!(r"127\.0\.0\.1[ .:]+({})([^0-9]|$)", ports.join("|"))
}

/// How much a line of standard error says was lost.
pub(super) fn lost_in(line: &str) -> f64 {
    let mut words = line.split_whitespace();
    let (number, times) = match line {
        // tcpdump counts a segment on its way out of loopback and on its way in, and shows it once.
        line if line.ends_with(" dropped by kernel") => (words.next(), 2.0),
        line if line.starts_with("lost ") => (words.nth(1), 1.0),
        _ => (None, 1.0),
    };
    number.and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0) / times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_lost_is_read() {
        let lines = [
            "lost 1306 events on CPU #0",
            "24 packets received by filter",
            "3 packets dropped by kernel",
            "tcpdump: listening on lo",
        ];
        assert_eq!(lines.map(|line| lost_in(line).to_string()), ["1306", "0", "1.5", "0"]);
    }

    #[test]
    fn a_port_is_found_in_the_lines_of_each_tool() -> Result<()> {
        let lines = "\
            32718   python3          127.0.0.1       37553 127.0.0.1       53036 0.25   0.06   0.07\n\
            ffff888365caca00 1 a 127.0.0.1       0     127.0.0.1       37553 CLOSE       -> SYN_SENT    0.000\n\
            3171226188554 31459 python3 10 3 127.0.0.1:37553 127.0.0.1:38000\n\
            3171226188554 31459 python3 2 1 127.0.0.1:38000 127.0.0.1:37553\n\
            16:37:41.1 IP 127.0.0.1.58536 > 127.0.0.1.37553: Flags [S], seq 1, length 0\n\
            16:37:41.1 IP 127.0.0.1.3755 > 127.0.0.1.375530: Flags [S], seq 37553, length 0\n";
        let mut grep = Command::new("grep");
        grep.args(["-c", "-E", &about_ports(&[9, 37_553])]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut grep = grep.spawn()?;
        std::io::Write::write_all(&mut grep.stdin.take().context("a pipe")?, lines.as_bytes())?;
        assert_eq!(grep.wait_with_output()?.stdout, b"5\n");
        Ok(())
    }
}
