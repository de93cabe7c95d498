//! Network namespaces as a user names them.

use std::path::{Path, PathBuf};

/// Process ids end here (`PID_MAX_LIMIT`), and inode numbers of namespaces lie far above: from 4026531840 on, or
/// a little below for the host's own since Linux 6.18.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/threads.h#L33-L38>
pub(super) const LAST_PID: u32 = 4_194_304;
/// Where iproute2 keeps namespaces that have names.
const NAMED: &str = "/run/netns";

/// A network namespace, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The number the kernel shows as `net:[NUMBER]`.
    Inode(u32),
    /// The one a process is in.
    Pid(u32),
    /// A file: `/run/netns/NAME`, `/proc/PID/ns/net`.
    Path(PathBuf),
}

/// Reads a path of something that exists, or a number.
pub(in crate::cli) fn namespace(text: &str) -> Result<Namespace, String> {
    let number = text.strip_prefix("net:[").and_then(|text| text.strip_suffix(']'));
    if let Some(number) = number {
        return Err(format!("expected the number alone; did you mean '{number}'?"));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(0) => Err("process ids begin with 1; did you mean '/proc/self/ns/net'?".to_owned()),
            Ok(number) if number > LAST_PID => Ok(Namespace::Inode(number)),
            Ok(number) => Ok(Namespace::Pid(number)),
            Err(_) => Err(format!("a namespace's number is at most {}", u32::MAX)),
        };
    }
    if Path::new(text).exists() {
        return Ok(Namespace::Path(text.into()));
    }
    let nearest = nearest(text, &names()).unwrap_or_else(|| "/proc/self/ns/net".to_owned());
    Err(format!("it is no file, no process and no inode number; did you mean '{nearest}'?"))
}

/// The namespaces that have names.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(NAMED).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The named namespace that is spelled most alike.
fn nearest(text: &str, names: &[String]) -> Option<String> {
    let typed = text.rsplit('/').next().unwrap_or(text);
    let name = super::nearest(typed, names.iter().map(String::as_str))?;
    Some(format!("{NAMED}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::{Namespace, namespace, nearest};

    #[test]
    fn paths_inodes_and_processes_are_told_apart() {
        assert_eq!(namespace("/proc/self/ns/net"), Ok(Namespace::Path("/proc/self/ns/net".into())));
        assert_eq!(namespace("4026531840"), Ok(Namespace::Inode(4_026_531_840)));
        assert_eq!(namespace("4026531833"), Ok(Namespace::Inode(4_026_531_833)));
        assert_eq!(namespace("4194304"), Ok(Namespace::Pid(4_194_304)));
        assert_eq!(namespace("1"), Ok(Namespace::Pid(1)));
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, says) in [
            ("no/such/file", "did you mean '/"),
            ("net:[4026531840]", "'4026531840'"),
            ("4294967296", "at most 4294967295"),
            ("-1", "did you mean '/"),
            ("0", "/proc/self/ns/net"),
            ("", "did you mean '/"),
        ] {
            let error = namespace(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_leads_to_its_file() {
        let names = ["web".to_owned(), "database".to_owned()];
        assert_eq!(nearest("web", &names).as_deref(), Some("/run/netns/web"));
        assert_eq!(nearest("/var/run/netns/databse", &names).as_deref(), Some("/run/netns/database"));
        assert_eq!(nearest("web", &[]), None);
    }
}
