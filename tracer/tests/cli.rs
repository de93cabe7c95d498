//! The command line as scripts see it: help, exit codes, closed pipes.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

fn tcptrace(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tcptrace")).args(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

#[test]
fn help_is_there_and_fits_80_columns() {
    for command in ["", "watch", "demo", "explain", "list", "doctor", "schema"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let output = tcptrace(&arguments);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = stdout(&output);
        assert!(help.contains("Usage: tcptrace"), "{help}");
        assert!(!help.contains("__actor") && !help.contains("raw-records"), "{help}");
    }
}

#[test]
fn what_is_not_built_is_no_command_and_no_flag() {
    for arguments in [
        vec!["top"],
        vec!["record", "x"],
        vec!["watch", "--cgroup", "/x"],
        vec!["watch", "--config", "/x"],
        vec!["watch", "--backend", "kprobe"],
        vec!["watch", "--format", "ecs"],
    ] {
        let output = tcptrace(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn nonsense_is_a_usage_error_that_names_what_would_be_valid() {
    for (arguments, named) in [
        (vec!["watch", "--port", "90-80"], "80-90"),
        (vec!["watch", "--port", "99999"], "65535"),
        (vec!["watch", "--addr", "10.1.0.0/8"], "10.0.0.0/8"),
        (vec!["watch", "--netns", "0"], "/proc/self/ns/net"),
        (vec!["watch", "--pattern", "conection_reset"], "connection_reset"),
        (vec!["watch", "--set", "close_wait_leak.afer=3s"], "close_wait_leak.after"),
        (vec!["watch", "--duration", "30"], "30s"),
        (vec!["watch", "--min-severity", "warn"], "warning"),
        (vec!["watch", "--ring-size", "5000"], "8192"),
        (vec!["explain", "close_wait"], "close_wait_leak"),
        (vec!["wach"], "watch"),
    ] {
        let output = tcptrace(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?} does not name {named}: {said}");
        assert!(output.stdout.is_empty(), "stdout carries records only");
    }
}

#[test]
fn a_reader_that_had_enough_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tcptrace"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("a line");
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(said, "");
}

#[test]
fn every_pattern_is_listed_and_explained_in_both_languages() {
    let list = stdout(&tcptrace(&["list"]));
    for pattern in tracer::pattern::CATALOGUE {
        assert!(list.contains(pattern.id));
        let english = stdout(&tcptrace(&["explain", pattern.id, "--lang", "en"]));
        let chinese = stdout(&tcptrace(&["explain", pattern.id, "--lang", "zh"]));
        assert!(english.contains("SEEN") && english.contains("CONFIRM WITH"), "{english}");
        assert!(chinese.contains("现象") && chinese.contains("确认命令"), "{chinese}");
        assert!(english.lines().all(|line| line.chars().count() <= 80), "{english}");
    }
}

#[test]
fn the_schema_describes_every_record() {
    let schema = stdout(&tcptrace(&["schema"]));
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let text = schema.to_string();
    for name in
        ["boot_ns", "errno_source", "reason_source", "timeline_cut", "suppressed", "ring_size", "why_not"]
    {
        assert!(text.contains(name), "the schema does not know {name}");
    }
}
