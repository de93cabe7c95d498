//! Values of flags: read strictly, refused with the nearest valid spelling.

mod cgroup;
mod duration;
mod namespace;
mod network;
mod ports;
mod ring;
mod threshold;

pub use cgroup::Cgroup;
pub use namespace::Namespace;
pub use network::Network;
pub use ports::Ports;
pub use threshold::Threshold;

pub(super) use cgroup::cgroup;
pub(super) use duration::positive_duration;
pub(super) use namespace::namespace;
pub(super) use network::network;
pub(super) use ports::ports;
pub(super) use ring::ring_size;
pub(super) use threshold::threshold;

use crate::{
    backend::Backend,
    finding::Severity,
    pattern::{CATALOGUE, ERRNO_PAGES, ErrnoPage, Pattern, by_id, errno_page},
};
use duration::duration;
use namespace::LAST_PID;

/// Reads a pattern's id.
pub(super) fn pattern(text: &str) -> Result<&'static str, String> {
    let ids = || CATALOGUE.iter().map(|pattern| pattern.id);
    ids().find(|id| *id == text).ok_or_else(|| {
        let nearest = nearest(text, ids()).unwrap_or_default();
        format!("there is no such pattern; did you mean '{nearest}'? 'tcptrace list' shows all")
    })
}

/// By which means the kernel's events are taken.
pub(super) fn backend(text: &str) -> Result<Backend, String> {
    let names = || Backend::ALL.iter().map(|backend| backend.name());
    let found = Backend::ALL.iter().find(|backend| backend.name() == text).copied();
    found.ok_or_else(|| {
        let nearest = nearest(text, names()).unwrap_or_default();
        format!(
            "there is no such way; did you mean '{nearest}'? There are auto, tracepoint, fentry and kprobe"
        )
    })
}

/// What a page can be about.
#[derive(Clone, Copy)]
pub enum Subject {
    /// A pattern.
    Pattern(&'static Pattern),
    /// An errno, or SIGPIPE.
    Errno(&'static ErrnoPage),
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pattern(pattern) => pattern.id,
            Self::Errno(page) => page.name,
        })
    }
}

/// Reads a pattern's id or the name of an errno.
pub(super) fn subject(text: &str) -> Result<Subject, String> {
    let found = by_id(text).map(Subject::Pattern).or_else(|| errno_page(text).map(Subject::Errno));
    found.ok_or_else(|| {
        let names =
            CATALOGUE.iter().map(|pattern| pattern.id).chain(ERRNO_PAGES.iter().map(|page| page.name));
        let nearest = nearest(text, names).unwrap_or_default();
        format!("there is no page on that; did you mean '{nearest}'? 'tcptrace explain' shows all")
    })
}

/// Reads a severity.
pub(super) fn severity(text: &str) -> Result<Severity, String> {
    let names = || Severity::ALL.iter().map(|severity| severity.name());
    text.parse().map_err(|()| {
        let all = names().collect::<Vec<_>>().join(", ");
        format!("a severity is one of {all}{}", meant(nearest(text, names())))
    })
}

/// Reads a number from 1 on.
pub(super) fn positive(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1; did you mean '1'?".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("expected a number from 1 to {}{}", u64::MAX, meant(digits_of(text)))),
    }
}

/// Reads a process id.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    let pid = text.parse().ok().filter(|pid| (1..=LAST_PID).contains(pid));
    pid.ok_or_else(|| format!("expected a process id from 1 to {LAST_PID}{}", meant(digits_of(text))))
}

/// Reads the name of a process.
pub(super) fn comm(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a process name cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The candidate that is spelled most alike, whatever the case and the kind of dash.
fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.trim().to_ascii_lowercase().replace('-', "_");
    let likeness = |candidate: &str| strsim::jaro_winkler(&text, &candidate.to_ascii_lowercase());
    candidates.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// `; did you mean '443'?`, or nothing when nothing is near.
fn meant(nearest: Option<impl std::fmt::Display>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean '{nearest}'?"))
}

/// The number that is left when everything else is taken away.
fn digits_of(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::{comm, pattern, pid, positive, severity, subject};

    #[test]
    fn the_nearest_id_is_named() {
        assert!(pattern("connection_reset").is_ok());
        for (typed, meant) in [
            ("conection_reset", "'connection_reset'"),
            ("connection-refused", "'connection_refused'"),
            ("CLOSE_WAIT", "'close_wait_leak'"),
            ("", "did you mean '"),
        ] {
            let error = pattern(typed).expect_err(typed);
            assert!(error.contains(meant), "{typed}: {error}");
        }
    }

    #[test]
    fn errnos_have_pages_too() {
        assert!(subject("close_wait_leak").is_ok());
        assert!(subject("econnreset").is_ok());
        assert!(subject("ECONRESET").is_err_and(|error| error.contains("'ECONNRESET'")));
        assert!(subject("close_wait").is_err_and(|error| error.contains("'close_wait_leak'")));
    }

    #[test]
    fn the_nearest_severity_is_named() {
        assert!(severity("critical").is_ok());
        for (typed, meant) in [("warn", "'warning'"), ("Critical", "'critical'"), ("information", "'info'")] {
            assert!(severity(typed).is_err_and(|error| error.contains(meant)), "{typed}");
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(positive("7"), Ok(7));
        assert!(positive("0").is_err_and(|error| error.contains("'1'")));
        assert!(positive("-3").is_err_and(|error| error.contains("'3'")));
        assert!(positive("99999999999999999999999").is_err());
        assert_eq!(pid("4194304"), Ok(4_194_304));
        assert!(pid("0").is_err());
        assert!(pid("4194305").is_err());
        assert!(pid("42x").is_err_and(|error| error.contains("'42'")));
        assert!(comm("").is_err());
    }
}
