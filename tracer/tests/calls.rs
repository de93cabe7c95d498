//! Calls that safe Rust cannot make: a C program makes them, and what they gave is what must be told.

#[path = "calls/program.rs"]
mod program;
#[path = "live/support.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

use nix::sys::signal::Signal;
use program::{CLOSED, Peer, Run, alone, compat};
use serde_json::Value;
use std::{collections::BTreeMap, os::unix::process::ExitStatusExt};
use support::{Namespace, Watch, skipped};

/// Runs the C program under a watch of its namespace; what it told, and the findings of at least a warning.
fn watched(name: &str, peer: Peer, arguments: &[&str]) -> (Run, Vec<Value>) {
    let _alone = alone();
    let namespace = Namespace::new();
    let mut watch = Watch::start(namespace.inode(), &["--min-severity", "warning"]);
    let run = Run::new(&namespace, name, peer, arguments);
    println!("{name} {arguments:?}: {:?}", run.told);
    let (findings, stop) = watch.stop();
    assert_eq!(stop["malformed"], 0, "{stop}");
    (run, findings)
}

#[track_caller]
fn assert_told(findings: &[Value], patterns: &[&str]) {
    let told: Vec<_> = findings.iter().map(|finding| finding["pattern"].as_str().expect("an id")).collect();
    assert_eq!(told, patterns, "{findings:#?}");
}

/// What is told of a connection that its peer reset, and that was written to twice; the second finding.
#[track_caller]
fn broken<'a>(run: &Run, findings: &'a [Value], last: &str) -> &'a Value {
    assert_told(findings, &["close_with_unread_data", last]);
    let [reset, broken] = findings else { unreachable!("two were told") };
    run.assert_observed(reset, "ECONNRESET");
    assert_eq!(reset["peer"]["process"]["pid"], std::process::id(), "{reset}");
    run.assert_observed(broken, "EPIPE");
    assert_eq!(broken["follows"], serde_json::json!([reset["id"]]), "{broken}");
    broken
}

#[test]
fn wrong_addresses_are_told() {
    if skipped("wrong_addresses_are_told") {
        return;
    }
    let (run, findings) = watched("efault", Peer::None, &[]);
    run.assert_lived();
    let calls = run.calls();
    assert_eq!(calls, ["setsockopt", "getsockopt", "connect"].map(|call| (call, "EFAULT".to_owned())));
    assert_told(&findings, &["socket_option_error"; 3]);
    for (finding, (call, errno)) in findings.iter().zip(calls) {
        run.assert_observed(finding, &errno);
        assert_eq!(finding["facts"]["call"], call, "{finding}");
        assert_eq!(finding["severity"], "warning", "{finding}");
    }
}

#[test]
fn a_blocked_signal_is_told_as_sent() {
    if skipped("a_blocked_signal_is_told_as_sent") {
        return;
    }
    let (run, findings) = watched("blocked", Peer::Resets, &[]);
    run.assert_lived();
    assert_eq!(run.calls()[..2], [("write", "ECONNRESET".into()), ("write", "EPIPE".into())]);
    assert_eq!(run.count("pending"), 1);
    let broken = broken(&run, &findings, "broken_pipe");
    assert_eq!(broken["signal"], "SIGPIPE", "{broken}");
    assert!(broken["message"].as_str().is_some_and(|text| text.contains("handles or blocks it")), "{broken}");
}

#[test]
fn without_a_signal_none_is_told() {
    if skipped("without_a_signal_none_is_told") {
        return;
    }
    let (run, findings) = watched("nosignal", Peer::Resets, &[]);
    run.assert_lived();
    assert_eq!(run.calls(), [("send", "ECONNRESET".into()), ("send", "EPIPE".into())]);
    let broken = broken(&run, &findings, "broken_pipe");
    assert_eq!(broken["signal"], Value::Null, "{broken}");
    assert_eq!(broken["facts"]["signal_sent"], false, "{broken}");
}

#[test]
fn a_thread_that_writes_takes_its_process_with_it() {
    if skipped("a_thread_that_writes_takes_its_process_with_it") {
        return;
    }
    killed("thread");
}

/// The process does not live to see the errno of its last call.
fn killed(name: &str) {
    let (run, findings) = watched(name, Peer::Resets, &[]);
    assert_eq!(run.status.signal(), Some(Signal::SIGPIPE as i32), "{}", run.status);
    assert_eq!(run.calls(), [("write", "ECONNRESET".into())]);
    let killed = broken(&run, &findings, "sigpipe_killed");
    assert_eq!((&killed["severity"], &killed["signal"]), (&"critical".into(), &"SIGPIPE".into()), "{killed}");
}

#[test]
fn a_descriptor_closed_by_another_thread_is_told() {
    if skipped("a_descriptor_closed_by_another_thread_is_told") {
        return;
    }
    let (run, findings) = watched("raced_fd", Peer::Reads, &[]);
    run.assert_lived();
    assert_eq!(run.calls()[1..], [("close", "0".into()), ("setsockopt", "EBADF".into())]);
    assert_told(&findings, &["socket_option_error"]);
    run.assert_observed(&findings[0], "EBADF");
    assert_eq!(findings[0]["process"]["fd"], run.count("fd"), "{}", findings[0]);
    assert_eq!(findings[0]["facts"]["call"], "setsockopt");
    assert_eq!(findings[0]["severity"], "warning");
    assert!(
        findings[0]["message"].as_str().is_some_and(|text| text.contains("TCP_NODELAY")),
        "{}",
        findings[0]
    );
}

/// 32-bit system calls have numbers of their own: ioctl() is 54 there, which is setsockopt() on x86-64.
#[test]
fn calls_of_32_bits_are_not_mistaken() {
    let test = "calls_of_32_bits_are_not_mistaken";
    if skipped(test) {
        return;
    }
    not_mistaken(test, "int80", &[]);
}

#[test]
fn a_program_of_32_bits_is_not_mistaken() {
    let test = "a_program_of_32_bits_is_not_mistaken";
    if skipped(test) {
        return;
    }
    let Ok(program) = compat() else {
        println!("SKIP {test}: cc makes no 32-bit programs here");
        return;
    };
    not_mistaken(test, "exec", &[program.to_str().expect("a plain path")]);
}

/// One call of the 64-bit interface comes first: it alone is told.
fn not_mistaken(test: &str, name: &str, arguments: &[&str]) {
    let (run, findings) = watched(name, Peer::Reads, arguments);
    if run.skips(test) {
        return;
    }
    run.assert_lived();
    let calls = run.calls();
    let calls: Vec<_> = calls.iter().map(|(call, errno)| (*call, errno.as_str())).collect();
    let compat = [("ioctl", "EBADF"), ("fcntl", "EBADF"), ("pipe", "EFAULT"), ("times", "EFAULT")];
    assert_eq!(calls[0], ("getsockopt", "EBADF"));
    assert_eq!(calls[1..], compat);
    assert_told(&findings, &["socket_option_error"]);
    run.assert_observed(&findings[0], "EBADF");
    assert_eq!(findings[0]["facts"]["call"], "getsockopt", "{}", findings[0]);
}

/// `io_sendmsg_prep()` adds MSG_NOSIGNAL to what the program asks for.
/// <https://github.com/torvalds/linux/blob/v6.12/io_uring/net.c>
#[test]
fn sends_through_io_uring_are_observed_and_make_no_signal() {
    let test = "sends_through_io_uring_are_observed_and_make_no_signal";
    if skipped(test) {
        return;
    }
    for (operation, mode) in
        [("send", "caller"), ("send_nosignal", "caller"), ("send", "worker"), ("send", "poller")]
    {
        let (run, findings) = watched("uring", Peer::Resets, &[operation, mode]);
        if run.skips(test) {
            return;
        }
        run.assert_lived();
        assert_eq!(
            run.calls()[..2],
            [(operation, "ECONNRESET".into()), (operation, "EPIPE".into())],
            "{mode}"
        );
        assert_eq!(run.count("signals"), 0, "{mode}");
        let broken = broken(&run, &findings, "broken_pipe");
        assert_eq!(broken["signal"], Value::Null, "{mode}: {broken}");
    }
}

/// A write has no such flag. Whoever carries it out gets the signal, and the kernel's threads block it for ever.
#[test]
fn writes_through_io_uring_are_observed_and_make_a_signal() {
    let test = "writes_through_io_uring_are_observed_and_make_a_signal";
    if skipped(test) {
        return;
    }
    for (mode, signals) in [("caller", 1), ("worker", 0), ("poller", 0)] {
        let (run, findings) = watched("uring", Peer::Resets, &["write", mode]);
        if run.skips(test) {
            return;
        }
        run.assert_lived();
        assert_eq!(run.calls()[..2], [("write", "ECONNRESET".into()), ("write", "EPIPE".into())], "{mode}");
        assert_eq!(run.count("signals"), signals, "{mode}");
        let broken = broken(&run, &findings, "broken_pipe");
        assert_eq!(broken["signal"], "SIGPIPE", "{mode}: {broken}");
    }
}

#[test]
fn a_connect_through_io_uring_is_told() {
    let test = "a_connect_through_io_uring_is_told";
    if skipped(test) {
        return;
    }
    refused(test, "caller");
}

/// What is told of a refused connect() of io_uring.
fn refused(test: &str, mode: &str) {
    let (run, findings) = watched("uring", Peer::None, &["connect", mode]);
    if run.skips(test) {
        return;
    }
    run.assert_lived();
    assert_eq!(run.calls()[0], ("connect", "ECONNREFUSED".into()), "{mode}");
    assert_told(&findings, &["connection_refused"]);
    run.assert_about(&findings[0]);
    assert_eq!(findings[0]["errno"], "ECONNREFUSED", "{mode}");
    // No call returns what the ring tells.
    assert_eq!(findings[0]["errno_source"], "derived", "{mode}");
    assert_eq!(findings[0]["connection"]["remote"]["port"], CLOSED, "{mode}");
}

#[test]
fn a_thread_that_outlives_the_first_one_does_too() {
    if skipped("a_thread_that_outlives_the_first_one_does_too") {
        return;
    }
    killed("thread_alone");
}

#[test]
fn a_connect_by_a_thread_of_io_uring_is_its_programs() {
    let test = "a_connect_by_a_thread_of_io_uring_is_its_programs";
    if skipped(test) {
        return;
    }
    refused(test, "worker");
    refused(test, "poller");
}

#[test]
fn setting_and_reading_an_option_are_counted_apart() {
    if skipped("setting_and_reading_an_option_are_counted_apart") {
        return;
    }
    let (run, findings) = watched("alike", Peer::None, &[]);
    run.assert_lived();
    let mut told = BTreeMap::from([("setsockopt", 0), ("getsockopt", 0)]);
    let mut made = told.clone();
    for finding in &findings {
        let call = finding["facts"]["call"].as_str().expect("a name");
        *told.entry(call).or_default() += finding["count"].as_u64().expect("a count");
    }
    for (call, _) in &run.told {
        *made.entry(call).or_default() += 1;
    }
    assert_eq!(told, made);
}
