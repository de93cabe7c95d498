//! Facts about a process that are added after the verdict; rules never see them.

mod container;
mod places;

pub use container::{Container, container};
pub use places::Places;

use crate::{name::printable, time::Time};
use procfs::process::Process;
use std::os::unix::ffi::OsStrExt;

/// What is known of a process besides its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Path of its program, escaped for display.
    pub exe: Option<String>,
    /// Its real user id.
    pub uid: Option<u32>,
    /// Its cgroup: the one that names a container, or else the version 2 path, or else the first that is not the root.
    pub cgroup: Option<String>,
    /// Its container.
    pub container: Option<Container>,
}

/// The facts of a process that was running at `at` (boot time), in the cgroup of version 2 with that number, 0 for
/// none known. What /proc says counts while it runs, but not when its number belongs to a younger process by now, or to
/// another one in this pid namespace.
pub fn process(pid: u32, cgroup: u64, at: Time, places: &Places) -> ProcessFacts {
    let running = running(pid, at).filter(|_| !places.apart);
    let mut paths: Vec<String> = places.of_cgroup(cgroup).map(str::to_owned).into_iter().collect();
    if paths.iter().all(|path| container(path).is_none()) {
        match (places.of_process(pid, at), &running) {
            (Some(path), _) => paths.push(path.to_owned()),
            (None, Some(process)) => paths.extend(cgroups(process)),
            (None, None) => {}
        }
    }
    let cgroup = telling(paths);
    ProcessFacts {
        exe: running
            .as_ref()
            .and_then(|process| process.exe().ok())
            .map(|path| printable(path.as_os_str().as_bytes())),
        uid: running.and_then(|process| process.status().ok()).map(|status| status.ruid),
        container: cgroup.as_deref().and_then(container),
        cgroup,
    }
}

/// The process with this number, if it is the one that ran then.
fn running(pid: u32, at: Time) -> Option<Process> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let started = stat.starttime.saturating_mul(1_000_000_000 / procfs::ticks_per_second());
    // The kernel rounds the start down to a tick, so a process of that tick counts as older.
    (started <= at.0).then_some(process)
}

/// Where a process is now in the older hierarchies: the path that tells most, nothing when it is gone.
pub fn legacy_cgroup(pid: u32, at: Time) -> Option<String> {
    telling(cgroups(&running(pid, at)?))
}

fn cgroups(process: &Process) -> Vec<String> {
    let all = process.cgroups().ok();
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    all.sort_by_key(|cgroup| cgroup.hierarchy); // that of version 2 is 0
    all.into_iter().map(|cgroup| printable(cgroup.pathname.as_bytes())).collect()
}

/// Of the cgroups of one process the one that tells most.
fn telling(mut paths: Vec<String>) -> Option<String> {
    let named = paths.iter().position(|path| container(path).is_some());
    let index = named.or_else(|| paths.iter().position(|path| path != "/")).unwrap_or(0);
    (index < paths.len()).then(|| paths.swap_remove(index))
}

#[cfg(test)]
mod tests {
    use super::{Places, ProcessFacts, process, telling};
    use crate::time::Time;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    /// Beyond the last number of a process (`PID_MAX_LIMIT`).
    const GONE: u32 = 4_194_305;

    #[test]
    fn a_number_that_was_given_away_again_tells_nothing() {
        let (own, places) = (std::process::id(), Places::default());
        let facts = process(own, 0, Time::NEVER, &places);
        assert!(facts.exe.is_some() && facts.uid.is_some() && facts.cgroup.is_some(), "{facts:?}");
        assert_eq!(process(own, 0, Time(1), &places), ProcessFacts::default());
    }

    #[test]
    fn a_number_of_another_pid_namespace_tells_nothing() {
        let own = std::process::id();
        assert!(process(own, 0, Time::NEVER, &Places::new(true)).exe.is_some());
        assert_eq!(process(own, 0, Time::NEVER, &Places::new(false)), ProcessFacts::default());
    }

    #[test]
    fn a_container_is_known_when_its_process_is_gone() {
        let mut places = Places::default();
        places.made(7, format!("/system.slice/docker-{ID}.scope").as_bytes());
        places.made(1, b"/");
        let facts = process(GONE, 7, Time::NEVER, &places);
        assert_eq!(facts.container.map(|container| container.id).as_deref(), Some(ID));
        assert_eq!(process(GONE, 8, Time::NEVER, &places), ProcessFacts::default());
        assert_eq!(process(GONE, 1, Time::NEVER, &places).cgroup.as_deref(), Some("/"));
    }

    #[test]
    fn the_older_hierarchies_count_where_the_newer_tells_no_container() {
        let mut places = Places::default();
        places.made(1, b"/");
        places.seen(GONE, Time(1), format!("/docker/{ID}").as_bytes());
        let facts = process(GONE, 1, Time(2), &places);
        assert_eq!(facts.container.map(|container| container.id).as_deref(), Some(ID));
    }

    #[test]
    fn a_path_that_tells_something_goes_before_one_that_does_not() {
        let paths = |paths: &[&str]| telling(paths.iter().map(ToString::to_string).collect());
        let docker = format!("/docker/{ID}");
        assert_eq!(paths(&["/", "/user.slice", &docker]), Some(docker));
        assert_eq!(paths(&["/", "/user.slice"]).as_deref(), Some("/user.slice"));
        assert_eq!(paths(&["/", "/"]).as_deref(), Some("/"));
        assert_eq!(paths(&[]), None);
    }
}
