//! What is in the way on some hosts: no BTF in sight, functions that nothing can be attached to. Other kernels are tried by
//! `cargo xtask traps`.

use crate::support::{skipped, tcptrace};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Where the kernel shows its types.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A copy of the kernel's types, removed in the end.
struct Copy(PathBuf);

impl Copy {
    fn make(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tcptrace-{name}-{}", std::process::id()));
        fs::copy(BTF, &path).expect("the kernel shows its types");
        Self(path)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The test has failed already where it is not there.
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the program where the kernel's types are hidden; none where that cannot be had.
fn hidden(arguments: &str) -> Option<Output> {
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec";
    let line = format!("{hide} {} {arguments}", env!("CARGO_BIN_EXE_tcptrace"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &line]).stdin(Stdio::null());
    command.output().ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn doctor(flags: &[&str]) -> (Option<i32>, Value) {
    let output = tcptrace(&["doctor", "--json"]).args(flags).output().expect("the program runs");
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// How a probe of a report stands.
fn probe<'a>(report: &'a Value, name: &str) -> &'a Value {
    let probes = report["probes"].as_array().expect("a list");
    probes.iter().find(|probe| probe["name"] == name).expect("the probe")
}

#[test]
fn where_no_btf_is_shown_a_file_takes_its_place() {
    const NAME: &str = "where_no_btf_is_shown_a_file_takes_its_place";
    if skipped(NAME) {
        return;
    }
    for arguments in ["watch --duration 1s", "doctor", "demo connection_refused"] {
        let Some(output) = hidden(arguments) else {
            println!("SKIP {NAME}: there is no unshare here");
            return;
        };
        let said = said(&output);
        assert_eq!(output.status.code(), Some(4), "{arguments}: {said}");
        assert!(said.contains("--btf FILE") && said.contains("BTFHub"), "{arguments}: {said}");
    }
    let copy = Copy::make("btf");
    let btf = copy.0.display();
    let refused = "bash -c 'exec 2>/dev/null; (exec 3<>/dev/tcp/127.0.0.1/1); exit 0'";
    for (arguments, code, words) in [
        (format!("watch --quiet --fail-on warning --btf {btf} -- {refused}"), 5, "connection_refused"),
        (format!("demo --btf {btf} connection_refused"), 0, "connection_refused"),
    ] {
        let output = hidden(&arguments).expect("it ran before");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
        assert!(said.contains(words), "{arguments}: {said}");
    }
    let output = hidden(&format!("doctor --json --btf {btf}")).expect("it ran before");
    let there: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (code, here) = doctor(&[]);
    assert_eq!(output.status.code(), code, "{there}");
    assert_eq!((&there["btf"], &there["btf_file"]), (&false.into(), &Value::from(btf.to_string())));
    assert_eq!(there["probes"], here["probes"]);
}

#[test]
fn a_file_that_is_no_btf_is_a_wrong_command_line() {
    if skipped("a_file_that_is_no_btf_is_a_wrong_command_line") {
        return;
    }
    for (file, words) in [(env!("CARGO_BIN_EXE_tcptrace"), "not BTF"), ("/no/such/file", "No such file")] {
        for command in ["watch", "doctor", "demo"] {
            let output = tcptrace(&[command, "--btf", file]).output().expect("the program runs");
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(file) && said.contains(words), "{command}: {said}");
        }
    }
}

#[test]
fn a_kernel_without_kernel_probes_says_so_and_does_without() {
    const NAME: &str = "a_kernel_without_kernel_probes_says_so_and_does_without";
    if skipped(NAME) {
        return;
    }
    if Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        println!("SKIP {NAME}: this kernel has kernel probes");
        return;
    }
    let (code, report) = doctor(&["--backend", "kprobe"]);
    assert_eq!(code, Some(4), "{report}");
    let first = probe(&report, "state_change");
    assert!(first["why_not"].as_str().is_some_and(|why| why.contains("CONFIG_KPROBES")), "{first}");
    let output = tcptrace(&["watch", "--backend", "kprobe"]).output().expect("the program runs");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("CONFIG_KPROBES"), "{said}");
    let (code, report) = doctor(&[]);
    assert!(matches!(code, Some(0 | 3)), "{report}");
    assert_eq!(probe(&report, "state_change")["attached"], "tracepoint", "{report}");
}

#[test]
fn a_kernel_that_refuses_fentry_is_traced_by_its_events() {
    const NAME: &str = "a_kernel_that_refuses_fentry_is_traced_by_its_events";
    if skipped(NAME) {
        return;
    }
    let (code, report) = doctor(&["--backend", "fentry"]);
    let first = probe(&report, "state_change");
    if first["attached"] == "fentry" {
        println!("SKIP {NAME}: this kernel lets programs be attached to its functions");
        return;
    }
    // A hardened kernel says that it is not allowed, others that it cannot be.
    assert!(matches!(code, Some(3 | 4)), "{report}");
    let why = first["why_not"].as_str().expect("a reason");
    assert!(first["lost"].is_string(), "{first}");
    let output = tcptrace(&["watch", "--backend", "fentry"]).output().expect("the program runs");
    let said = said(&output);
    assert_eq!(output.status.code(), code, "{said}");
    assert!(said.contains(why), "{said}");
    // The price of system calls is what fentry would spare.
    let (code, report) = doctor(&[]);
    assert!(matches!(code, Some(0 | 3)), "{report}");
    for name in ["state_change", "call"] {
        assert_eq!(probe(&report, name)["attached"], "tracepoint", "{report}");
    }
}
