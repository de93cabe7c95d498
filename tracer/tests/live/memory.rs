//! A process that the kernel kills for want of memory, in a control group of this test's own.

use super::support::{Namespace, Watch, skipped};
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// More than a shell needs, and little for a process without bounds.
const LIMIT: &str = "16777216";

/// What the process may take at most, whatever the control group does, in KiB: it fails then, and so does the test.
const BOUND: u32 = 1 << 20;

/// A control group with little memory, removed at the end.
struct Group(PathBuf);

impl Group {
    /// By the second version of control groups, or the first.
    fn new() -> Option<Self> {
        let name = format!("tcptrace-test-{}", std::process::id());
        [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
            .iter()
            .find_map(|(root, limit)| {
                let group = Self(Path::new(root).join(&name));
                fs::create_dir(&group.0).ok()?;
                // Any directory can be made; only a control group's is born with files.
                let file = group.0.join(limit);
                (file.exists() && fs::write(file, LIMIT).is_ok()).then_some(group)
            })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty once its process has ended.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_killed_for_want_of_memory_is_told_so() {
    const NAME: &str = "a_process_killed_for_want_of_memory_is_told_so";
    if skipped(NAME) {
        return;
    }
    let Some(group) = Group::new() else {
        println!("SKIP {NAME}: there is no memory controller to make a control group of");
        return;
    };
    let namespace = Namespace::new();
    let mut watch = Watch::start(namespace.inode(), &[]);
    let mut pid = 0;
    namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // `tail` keeps what may be the last line: all of an endless one.
        let script = format!(
            "ulimit -v {BOUND} && echo $$ > {}/cgroup.procs && exec 3<>/dev/tcp/127.0.0.1/{port} && exec tail /dev/zero",
            group.0.display()
        );
        let mut child = Command::new("bash").args(["-c", &script]).spawn().expect("bash runs");
        pid = child.id();
        let (mut connection, _) = listener.accept().expect("it connects");
        let status = child.wait().expect("it ends");
        assert!(!status.success(), "{status}");
        assert_eq!(connection.read(&mut [0]).expect("the end"), 0);
    });
    let (findings, stop) = watch.stop();
    let [finding] = findings.as_slice() else { panic!("one finding, not {findings:?} {stop}") };
    assert_eq!(finding["pattern"], "process_died", "{finding}");
    assert_eq!(finding["severity"], "critical");
    assert_eq!(finding["process"]["pid"], pid);
    assert_eq!(finding["facts"]["death"], "SIGKILL (out of memory)", "{finding}");
}
