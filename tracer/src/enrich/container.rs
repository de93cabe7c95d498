//! The container that a cgroup's path names.

use crate::name::printable;

/// A container, as a cgroup's name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits, or the name of a container of lxc or systemd-nspawn.
    pub id: String,
    /// `docker`, `containerd`, `cri-o`, `podman`, `lxc` or `systemd-nspawn`, when the name tells.
    pub runtime: Option<&'static str>,
}

/// What stands before the id, by who makes the cgroup.
const PREFIXES: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("libpod", "podman"),
];

/// The container of a cgroup: of several the innermost. An id alone is one only where its place says so, since
/// others name directories by hashes, too.
pub fn container(cgroup: &str) -> Option<Container> {
    let parts: Vec<&str> = cgroup.split('/').filter(|part| !part.is_empty()).collect();
    (0..parts.len()).rev().find_map(|last| named(&parts[..=last]))
}

/// The container whose cgroup the last part is.
fn named(parts: &[&str]) -> Option<Container> {
    let (last, above) = parts.split_last()?;
    let name = last.strip_suffix(".scope").unwrap_or(last);
    let parent = above.last().copied().unwrap_or_default();
    prefixed(name)
        .or_else(|| in_its_place(name, parent, above))
        .or_else(|| of_lxc(name, parent))
        .or_else(|| machine(last, parent))
}

/// `docker-ID`, and `SLICE:cri-containerd:ID` where containerd was not told that systemd makes the cgroups.
fn prefixed(name: &str) -> Option<Container> {
    PREFIXES.iter().find_map(|(prefix, runtime)| {
        let dashed = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
        let id = dashed.or_else(|| {
            let (before, id) = name.rsplit_once(':')?;
            (before.rsplit(':').next() == Some(prefix) && before != *prefix).then_some(id)
        });
        known(id?, Some(runtime))
    })
}

/// An id alone: below `docker`, or in a pod.
fn in_its_place(name: &str, parent: &str, above: &[&str]) -> Option<Container> {
    let pod = above.iter().any(|part| part.starts_with("kubepods")) && parent.contains("pod");
    match parent {
        "docker" => known(name, Some("docker")),
        _ if pod => known(name, None),
        _ => None,
    }
}

fn known(id: &str, runtime: Option<&'static str>) -> Option<Container> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_id = id.len() == 64 && id.bytes().all(digit);
    is_id.then(|| Container { id: id.to_owned(), runtime })
}

/// `lxc.payload.NAME`, and `lxc/NAME` before version 4; `lxc.monitor.NAME` is outside its container.
fn of_lxc(name: &str, parent: &str) -> Option<Container> {
    let name = match parent {
        "lxc" | "lxc.payload" => name,
        _ => name.strip_prefix("lxc.payload.")?,
    };
    (!name.is_empty()).then(|| Container { id: printable(name.as_bytes()), runtime: Some("lxc") })
}

/// `machine-NAME.scope` and `systemd-nspawn@NAME.service`; what libvirt runs is registered there too.
fn machine(unit: &str, parent: &str) -> Option<Container> {
    if parent != "machine.slice" {
        return None;
    }
    let scope = unit.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"));
    let service = unit.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    let name = scope.or(service)?.replace("\\x2d", "-");
    let virtual_machine = scope.is_some() && ["qemu-", "libvirt-"].iter().any(|by| name.starts_with(by));
    (!virtual_machine && !name.is_empty())
        .then(|| Container { id: printable(name.as_bytes()), runtime: Some("systemd-nspawn") })
}

#[cfg(test)]
mod tests {
    use super::{Container, container};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    #[test]
    fn an_id_and_its_runtime_are_read_from_the_path() {
        let pod = "kubepods-burstable-pod12345678_9abc_def0_1234_56789abcdef0.slice";
        for (path, runtime) in [
            (format!("/system.slice/docker-{ID}.scope"), Some("docker")),
            (format!("/docker/{ID}"), Some("docker")),
            (format!("/docker/{ID}/init.scope"), Some("docker")),
            (format!("/docker/{OTHER}/kubelet/kubepods/besteffort/pod1/{ID}"), None),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"),
                Some("docker"),
            ),
            (format!("/kubepods/burstable/pod1234/{ID}"), None),
            (format!("/kubepods.slice/kubepods-burstable.slice/{pod}/{ID}"), None),
            (
                format!("/kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{ID}.scope"),
                Some("containerd"),
            ),
            (format!("/kubepods.slice/kubepods-burstable.slice/{pod}/docker-{ID}.scope"), Some("docker")),
            (format!("/kubepods.slice/kubepods-burstable.slice/{pod}/crio-{ID}.scope"), Some("cri-o")),
            (
                format!("/kubepods.slice/kubepods-burstable.slice/{pod}/crio-{ID}.scope/container"),
                Some("cri-o"),
            ),
            (format!("/kubepods/pod1/crio-{ID}"), Some("cri-o")),
            (format!("/system.slice/containerd.service/{pod}:cri-containerd:{ID}"), Some("containerd")),
            (format!("/system.slice/nerdctl-{ID}.scope"), Some("containerd")),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some("podman")),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                Some("podman"),
            ),
            (format!("/libpod_parent/libpod-{ID}"), Some("podman")),
        ] {
            assert_eq!(container(&path), Some(Container { id: ID.to_owned(), runtime }), "{path}");
        }
    }

    #[test]
    fn some_containers_have_names() {
        for (path, id, runtime) in [
            ("/lxc.payload.web/system.slice/ssh.service", "web", "lxc"),
            ("/lxc/web", "web", "lxc"),
            ("/lxc.payload/web/init.scope", "web", "lxc"),
            ("/machine.slice/machine-web.scope/payload/init.scope", "web", "systemd-nspawn"),
            (r"/machine.slice/machine-my\x2dweb.scope", "my-web", "systemd-nspawn"),
            ("/machine.slice/systemd-nspawn@web.service/payload", "web", "systemd-nspawn"),
        ] {
            let expected = Container { id: id.to_owned(), runtime: Some(runtime) };
            assert_eq!(container(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for path in [
            "/".to_owned(),
            String::new(),
            "/user.slice/user-0.slice/session-1.scope".into(),
            "/system.slice/docker.service".into(),
            "/docker/not-an-id".into(),
            "/docker".into(),
            format!("/builds/{ID}"),
            format!("/{ID}"),
            format!("/system.slice/{ID}.service"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{ID}0"),
            format!("/docker/{}", ID.to_uppercase()),
            format!("/docker/buildkit/{}", &ID[..32]),
            format!("/system.slice/docker-{}.scope", &ID[..12]),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/kubepods.slice/crio-conmon-{ID}.scope"),
            format!("/kubepods/besteffort/{ID}"),
            format!("/system.slice/undocker-{ID}.scope"),
            format!("/system.slice/x:other:{ID}"),
            "/lxc.monitor.web".into(),
            "/lxc".into(),
            r"/machine.slice/machine-qemu\x2d1\x2dweb.scope".into(),
            "/system.slice/machine-web.scope".into(),
            "/machine.slice".into(),
        ] {
            assert_eq!(container(&path), None, "{path}");
        }
    }
}
