//! Findings for people.

use crate::{
    finding::{Finding, Happening, Party, Severity, Step, VARIOUS_SERVICES},
    name::printable,
    record::{Endpoint, Stamp, event::EventRecord},
    terminal::wrap,
    time::{Spoken, Time},
};
use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use std::{cmp::Ordering, fmt::Write};

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
#[derive(Clone, Debug)]
pub struct Form {
    /// How much is said.
    pub detail: Detail,
    /// Columns of a line; the first line of a finding is never broken.
    pub columns: usize,
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
        let various = finding.facts.iter().any(|(name, _)| *name == VARIOUS_SERVICES);
        let at = if various { ", various services" } else { "" };
        let times = if finding.count > 1 { format!(" (×{}{at})", finding.count) } else { String::new() };
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
        let _ = writeln!(text, "{}", self.wrap(&printable(finding.message.as_bytes()), "  "));
        if !finding.complete() {
            let _ = writeln!(text, "{}", self.wrap(&doubts(finding), "  not certain: "));
        }
        if self.detail == Detail::Story {
            for step in &finding.timeline {
                let _ = writeln!(text, "  {}", told(step, finding.at));
            }
        }
        let _ = writeln!(text, "{}", self.wrap(&finding.advice, "  do: "));
        if let Some(confirm) = &finding.confirm {
            let _ = writeln!(text, "  see: {confirm}");
        }
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
        for more in [&event.option, &event.signal, &event.reason, &event.errno].into_iter().flatten() {
            let _ = write!(text, " {more}");
        }
        text.push('\n');
        text
    }

    fn wrap(&self, text: &str, first: &str) -> String {
        wrap(text, self.columns, first)
    }
}

/// `     -3.2 s  there  ESTABLISHED > FIN_WAIT1 (dying: SIGKILL)  nginx[817]`
fn told(step: &Step, at: Time) -> String {
    let distance = match step.at.cmp(&at) {
        Ordering::Less => format!("-{}", Spoken(at.since(step.at))),
        Ordering::Equal => "0 s".to_owned(),
        Ordering::Greater => format!("+{}", Spoken(step.at.since(at))),
    };
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
    format!("{distance:>10}  {place}  {what}{by}")
}

/// `curl[4242] -> 127.0.0.1:8080 nginx[817]`
fn ends(finding: &Finding) -> String {
    let name = |party: &Party| party.owner.map(|owner| format!("{}[{}]", owner.comm, owner.pid));
    let here = name(&finding.local).unwrap_or_else(|| "?".to_owned());
    let there = finding.peer.as_ref().and_then(name).map_or(String::new(), |name| format!(" {name}"));
    match (finding.local.tuple.remote_port, finding.local.connected()) {
        (_, false) => here,
        (0, true) => format!("{here} at {}", finding.local.tuple.local_address()),
        _ => format!("{here} -> {}{there}", finding.local.tuple.remote_address()),
    }
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
            "no_distance" => "from how far away some resets came was not seen",
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
    use crate::{
        finding::Finding,
        name::Comm,
        record::{Stamp, sample},
    };
    use jiff::tz::TimeZone;

    fn form(detail: Detail) -> Form {
        Form { detail, columns: 80, colours: false, zone: TimeZone::UTC }
    }

    fn shown(finding: &Finding, form: &Form) -> String {
        form.finding(finding, &Stamp { wall_minus_boot_ns: 50_691_123_000_000, ..sample::stamp() })
    }

    #[test]
    fn both_processes_are_named_and_lines_fit() {
        let mut finding = sample::finding();
        finding.message =
            "nginx closed first. curl kept its socket in CLOSE_WAIT for 3.2 s and then wrote 9 bytes; \
                           the kernel answered RST. The next write fails with EPIPE and SIGPIPE."
                .to_owned();
        finding.advice =
            "Treat EOF as the end; keep the client's idle timeout below the server's keep-alive timeout."
                .to_owned();
        assert_eq!(
            shown(&finding, &form(Detail::Message)),
            "\
14:05:01.123 warning  fin_wait2_write_reset  curl[4242] -> 127.0.0.1:8080 nginx[817]
  nginx closed first. curl kept its socket in CLOSE_WAIT for 3.2 s and then
  wrote 9 bytes; the kernel answered RST. The next write fails with EPIPE and
  SIGPIPE.
  do: Treat EOF as the end; keep the client's idle timeout below the server's
      keep-alive timeout.
  see: ss -tnp state close-wait dport = :8080
"
        );
        assert_eq!(
            shown(&finding, &form(Detail::Line)),
            "14:05:01.123 warning  fin_wait2_write_reset  curl[4242] -> 127.0.0.1:8080 nginx[817]\n"
        );
    }

    #[test]
    fn the_story_is_told_when_asked() {
        let text = shown(&sample::finding(), &form(Detail::Story));
        let steps: Vec<&str> = text.lines().skip(3).take(5).collect();
        assert_eq!(
            steps,
            [
                "      -3.2 s  there  ESTABLISHED > FIN_WAIT1 (dying: SIGKILL)  nginx[817]",
                "       -2 µs  here   read the end of file  curl[4242]",
                "       -1 µs  there  RST sent (TCP_TIMEWAIT_SOCKET)",
                "         0 s  here   RST received",
                "         0 s  here   send: EPIPE  curl[4242]",
            ]
        );
    }

    #[test]
    fn what_is_unknown_is_a_question_mark_and_ipv6_has_brackets() {
        let text = shown(&sample::bare(), &form(Detail::Line));
        assert_eq!(text, "14:05:01.123 warning  fin_wait2_write_reset  ? -> [::1]:80\n");
    }

    #[test]
    fn a_name_cannot_reach_the_terminal_and_a_storm_is_counted() {
        let mut finding = sample::finding();
        finding.local.owner.as_mut().expect("curl").comm = Comm::from("a\x1b]0;b\x07\nc");
        finding.count = 12;
        finding.message = "evil\x1b]0;title\x07\nname ".repeat(20);
        finding.missing = vec!["ring_full"];
        let narrow = Form { columns: 60, ..form(Detail::Message) };
        let text = shown(&finding, &narrow);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        let first = text.lines().next().expect("a line");
        assert!(
            first.contains(r" a\x1b]0;b\x07\nc[4242] -> ") && first.ends_with("nginx[817] (×12)"),
            "{first}"
        );
        assert!(text.contains("\n  not certain: records were lost meanwhile"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn only_the_severity_and_the_id_have_colours() {
        let finding = sample::finding();
        let coloured = shown(&finding, &Form { colours: true, ..form(Detail::Message) });
        assert!(coloured.contains("\x1b[33mwarning"), "{coloured:?}");
        let plain = shown(&finding, &form(Detail::Message));
        assert_eq!(coloured.replace("\x1b[33m", "").replace("\x1b[0m", ""), plain);
    }
}
