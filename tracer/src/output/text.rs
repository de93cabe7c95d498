//! Findings for people.

use crate::{
    finding::{Finding, Happening, Party, Severity, Step},
    record::{Endpoint, Stamp, event::EventRecord},
    terminal::wrap,
    time::{Spoken, Time},
};
use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use std::fmt::Write;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One line.
    Line,
    /// The line, the message, the advice.
    Message,
    /// The story as well.
    Story,
}

/// How findings are shown.
pub struct Form {
    /// How much is said.
    pub detail: Detail,
    /// Whether colours may be used.
    pub colours: bool,
    /// The zone of the times.
    pub zone: TimeZone,
}

impl Form {
    /// A finding as text, with a newline at its end.
    pub fn finding(&self, finding: &Finding, stamp: &Stamp) -> String {
        let time = stamp.timestamp(finding.at).to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S%.3f");
        let style = if self.colours { style(finding.severity) } else { Style::new() };
        let times = if finding.count > 1 { format!(" (×{})", finding.count) } else { String::new() };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{time} {style}{:<8}{style:#} {style}{:<22}{style:#} {}{times}",
            finding.severity,
            finding.pattern,
            ends(finding)
        );
        if self.detail == Detail::Line {
            return text;
        }
        let _ = writeln!(text, "{}", wrap(&finding.message, 2));
        if !finding.complete() {
            let _ = writeln!(text, "{}", wrap(&format!("not certain: {}", doubts(finding)), 2));
        }
        if self.detail == Detail::Story {
            for step in &finding.timeline {
                let _ = writeln!(text, "  {}", Self::step(step, finding.at));
            }
        }
        let _ = writeln!(text, "{}", wrap(&format!("do: {}", finding.advice), 2));
        text
    }

    /// An event in one line, with a newline at its end.
    pub fn event(&self, event: &EventRecord, stamp: &Stamp, at: Time) -> String {
        let time = stamp.timestamp(at).to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S%.3f");
        let mut text = format!("{time} event    {:<22}", event.event);
        if let Some(process) = &event.process {
            let _ = write!(text, " {}[{}]", process.comm, process.pid);
        }
        if let Some(connection) = &event.connection {
            let show = |end: &Endpoint| match connection.family {
                "ipv6" => format!("[{}]:{}", end.address, end.port),
                _ => format!("{}:{}", end.address, end.port),
            };
            let _ = write!(text, " {} -> {}", show(&connection.local), show(&connection.remote));
        }
        if let (Some(old), Some(new)) = (event.old_state, event.new_state) {
            let _ = write!(text, " {old} > {new}");
        }
        for more in [&event.reason, &event.errno].into_iter().flatten() {
            let _ = write!(text, " {more}");
        }
        text.push('\n');
        text
    }

    fn step(step: &Step, at: Time) -> String {
        let (sign, distance) = if step.at > at { ('+', step.at.since(at)) } else { ('-', at.since(step.at)) };
        let place = if step.local { "here " } else { "there" };
        let what = match &step.what {
            Happening::State { from, to, death: None } => format!("{} > {}", from.name(), to.name()),
            Happening::State { from, to, death: Some(death) } => {
                format!("{} > {} (dying: {})", from.name(), to.name(), death.name())
            }
            Happening::EofRead => "read the end of file".to_owned(),
            Happening::ResetSent { reason: Some(reason) } => format!("RST sent ({reason})"),
            Happening::ResetSent { reason: None } => "RST sent".to_owned(),
            Happening::ResetReceived => "RST received".to_owned(),
            Happening::CallFailed { call, errno } => format!("{call}: {errno}"),
        };
        let by = step.by.map_or(String::new(), |owner| format!("  {}[{}]", owner.comm, owner.pid));
        format!("{:>10}  {place}  {what}{by}", format!("{sign}{}", Spoken(distance)))
    }
}

/// `curl[4242] -> 127.0.0.1:8080 nginx[817]`
fn ends(finding: &Finding) -> String {
    let name = |party: &Party| party.owner.map(|owner| format!("{}[{}]", owner.comm, owner.pid));
    let here = name(&finding.local).unwrap_or_else(|| "?".to_owned());
    let there = finding.peer.as_ref().and_then(name).map_or(String::new(), |name| format!(" {name}"));
    format!("{here} -> {}{there}", finding.local.tuple.remote_address())
}

/// What was not seen, for people.
fn doubts(finding: &Finding) -> String {
    let said: Vec<&str> = finding
        .missing
        .iter()
        .map(|missing| match *missing {
            "history" => "the connection is older than this run",
            "look" => "the kernel could not be asked",
            "ring_full" => "records were lost meanwhile (a larger --ring-size may help)",
            "recursion" => "an interrupt kept some events from being seen",
            "no_storage" => "the kernel had no memory to follow some sockets",
            other => other,
        })
        .collect();
    said.join("; ")
}

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Info => AnsiColor::Cyan,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Critical => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::{Detail, Form};
    use crate::{record::Stamp, scenario::play};
    use jiff::tz::TimeZone;

    fn shown(trace: &str, detail: Detail) -> String {
        let stamp = Stamp { wall_minus_boot_ns: 0, host: "test".into() };
        let form = Form { detail, colours: false, zone: TimeZone::UTC };
        let findings = play(trace, |_| true).expect("a history");
        findings.iter().map(|finding| form.finding(finding, &stamp)).collect()
    }

    const STALE: &str = "
        c = 127.0.0.1:40000 > 127.0.0.1:8080 out curl[4242]
        s = swap c in nginx[817]
        0ms    c CLOSE>SYN_SENT owned
        0.1ms  c SYN_SENT>ESTABLISHED
        0.1ms  s SYN_RECV>ESTABLISHED
        10ms   s ESTABLISHED>FIN_WAIT1 owned
        10.1ms c ESTABLISHED>CLOSE_WAIT
        10.2ms s FIN_WAIT2>CLOSE dead
        3210ms s remainder-reset reason=TCP_TIMEWAIT_SOCKET answers=PA:9
        3210.01ms c reset-received unacked=9
        3210.02ms c CLOSE_WAIT>CLOSE err=EPIPE unacked=9
    ";

    #[test]
    fn both_processes_are_named_and_lines_fit() {
        let text = shown(STALE, Detail::Message);
        assert_eq!(
            text,
            "\
00:00:04.210 warning  fin_wait2_write_reset  curl[4242] -> 127.0.0.1:8080 nginx[817]
  nginx closed first. curl kept its socket in CLOSE_WAIT for 3.2 s and then
  wrote 9 bytes; the kernel answered RST. The next write fails with EPIPE and
  SIGPIPE.
  do: Treat end of file as the end of the connection. Keep the client's idle
  timeout below the server's keep-alive timeout, and repeat idempotent requests
  on a new connection.
"
        );
    }

    #[test]
    fn the_story_is_told_when_asked() {
        let text = shown(STALE, Detail::Story);
        assert!(text.contains("-3.2 s  there  ESTABLISHED > FIN_WAIT1  nginx[817]"), "{text}");
        assert!(text.contains("RST sent (TCP_TIMEWAIT_SOCKET)"), "{text}");
        assert_eq!(shown(STALE, Detail::Line).lines().count(), 1);
    }

    #[test]
    fn an_unknown_peer_and_ipv6() {
        let text = shown(
            "
            c = [::1]:40000 > [::1]:8080 out a\x1bb[7]
            0ms c CLOSE>SYN_SENT owned
            1ms c reset-received
            1ms c SYN_SENT>CLOSE err=ECONNREFUSED
            ",
            Detail::Line,
        );
        assert_eq!(text, "00:00:01.001 warning  connection_refused     a\\x1bb[7] -> [::1]:8080\n");
    }
}
