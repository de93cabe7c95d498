//! Facts about a process that are added after the verdict; rules never see them.

use crate::{name::printable, time::Time};
use procfs::process::Process;
use std::{os::unix::ffi::OsStrExt, path::Path};

/// What /proc says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Path of its program, escaped for display.
    pub exe: Option<String>,
    /// Its real user id.
    pub uid: Option<u32>,
    /// Its cgroup: the version 2 path, or else the first of version 1 that is not the root.
    pub cgroup: Option<String>,
    /// Its container.
    pub container: Option<Container>,
}

/// A container, as a cgroup's name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits, or the name that lxc gave.
    pub id: String,
    /// `docker`, `containerd`, `cri-o`, `podman` or `lxc`, when the name tells.
    pub runtime: Option<&'static str>,
}

/// The facts of a process that was running at `at` (boot time); none when it is gone, or when its number belongs
/// to a younger process by now.
pub fn process(pid: u32, at: Time) -> Option<ProcessFacts> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let started = stat.starttime.saturating_mul(1_000_000_000 / procfs::ticks_per_second());
    // The kernel rounds the start down to a tick, so a process of that tick counts as older.
    if started > at.0 {
        return None;
    }
    let exe = process.exe().ok().map(|path| printable(path.as_os_str().as_bytes()));
    let cgroup = cgroup(&process);
    Some(ProcessFacts {
        exe,
        uid: process.status().ok().map(|status| status.ruid),
        container: cgroup.as_deref().and_then(container),
        cgroup,
    })
}

fn cgroup(process: &Process) -> Option<String> {
    let all: Vec<String> = process.cgroups().ok()?.into_iter().map(|cgroup| cgroup.pathname).collect();
    let named = all.iter().find(|path| container(path).is_some());
    let path = named.or_else(|| all.iter().find(|path| *path != "/")).or_else(|| all.first())?;
    Some(printable(path.as_bytes()))
}

/// The container a cgroup's path names.
fn container(cgroup: &str) -> Option<Container> {
    let runtimes = [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("crio-", "cri-o"),
        ("libpod-", "podman"),
        ("lxc.payload.", "lxc"),
    ];
    for part in Path::new(cgroup).iter().rev().filter_map(|part| part.to_str()) {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let known =
            runtimes.iter().find_map(|(prefix, runtime)| Some((name.strip_prefix(prefix)?, *runtime)));
        match known {
            Some((id, "lxc")) => {
                return Some(Container { id: printable(id.as_bytes()), runtime: Some("lxc") });
            }
            Some((id, runtime)) if is_id(id) => {
                return Some(Container { id: id.to_owned(), runtime: Some(runtime) });
            }
            _ if is_id(name) => {
                let runtime = cgroup.split('/').find_map(|part| match part {
                    "docker" => Some("docker"),
                    _ => None,
                });
                return Some(Container { id: name.to_owned(), runtime });
            }
            _ => {}
        }
    }
    None
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{Container, container, process};
    use crate::time::Time;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_are_known_by_their_cgroup() {
        for (path, runtime) in [
            (format!("/system.slice/docker-{ID}.scope"), Some("docker")),
            (format!("/docker/{ID}"), Some("docker")),
            (format!("/kubepods/burstable/pod1/{ID}"), None),
            (format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), Some("containerd")),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some("podman")),
            (format!("/somewhere/{ID}"), None),
        ] {
            assert_eq!(container(&path), Some(Container { id: ID.to_owned(), runtime }), "{path}");
        }
        for path in ["/", "/user.slice/user-0.slice/session-1.scope", "/docker/not-an-id"] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn a_number_that_was_given_away_again_tells_nothing() {
        let own = std::process::id();
        assert!(process(own, Time::NEVER).is_some_and(|facts| facts.exe.is_some() && facts.uid.is_some()));
        assert_eq!(process(own, Time(1)), None);
    }
}
