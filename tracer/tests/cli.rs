//! The command line as scripts see it: help, exit codes, closed pipes.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

fn tcptrace(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcptrace"));
    command.env_remove("COLUMNS").args(arguments).output().expect("the program runs")
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
        let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{command}: {wide:#?}");
        assert!(!help.contains("__actor") && !help.contains("raw-records"), "{help}");
    }
}

#[test]
fn the_help_of_watch_has_its_parts() {
    let help = stdout(&tcptrace(&["watch", "--help"]));
    for heading in ["Filters", "Output", "Run", "Thresholds", "Overhead", "Examples"] {
        assert!(help.contains(&format!("\n{heading}:\n")), "{heading}\n{help}");
    }
    assert!(help.contains("close_wait_leak.after=60s"), "{help}");
}

#[test]
fn what_is_not_built_is_no_command_and_no_flag() {
    for arguments in [
        vec!["top"],
        vec!["record", "x"],
        vec!["watch", "--config", "/x"],
        vec!["watch", "--backend", "uprobe"],
        vec!["watch", "--format", "ecs"],
    ] {
        let output = tcptrace(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn nonsense_is_a_usage_error_that_names_what_would_be_valid() {
    for (arguments, named) in [
        (vec!["watch", "--port", "90-80"], "'80-90'"),
        (vec!["watch", "--port", "99999"], "'65535'"),
        (vec!["watch", "-p", "0"], "'1'"),
        (vec!["watch", "-L", "80a"], "'80'"),
        (vec!["watch", "-D", "80:90"], "'80-90'"),
        (vec!["watch", "--addr", "10.1.0.0/8"], "'10.0.0.0/8'"),
        (vec!["watch", "--addr", "10.0.0.0/33"], "'10.0.0.0/32'"),
        (vec!["watch", "--addr", "[::1]:80"], "'::1'"),
        (vec!["watch", "--netns", "0"], "/proc/self/ns/net"),
        (vec!["watch", "--netns", "net:[4026531840]"], "'4026531840'"),
        (vec!["watch", "--netns", "no-such-namespace"], "did you mean '/"),
        (vec!["watch", "--cgroup", "/no/such/cgroup"], "cgroup of version 2"),
        (vec!["watch", "--cgroup", "/etc"], "cgroup of version 2"),
        (vec!["watch", "--pid", "0"], "process id from 1"),
        (vec!["watch", "--comm", ""], "empty"),
        (vec!["watch", "--pattern", "conection_reset"], "'connection_reset'"),
        (vec!["watch", "--exclude", "close-wait-leak"], "'close_wait_leak'"),
        (vec!["watch", "--set", "close_wait_leak.afer=3s"], "'close_wait_leak.after=3s'"),
        (vec!["watch", "--set", "join.hold"], "'join.hold=50ms'"),
        (vec!["watch", "--set", "poll.period=0s"], "'1s'"),
        (vec!["watch", "--duration", "30"], "'30s'"),
        (vec!["watch", "--duration", "5min"], "'5m'"),
        (vec!["watch", "--duration", "-3s"], "'3s'"),
        (vec!["watch", "--max-findings", "0"], "'1'"),
        (vec!["watch", "--min-severity", "warn"], "'warning'"),
        (vec!["watch", "--fail-on", "crit"], "'critical'"),
        (vec!["watch", "--format", "jsn"], "'json'"),
        (vec!["watch", "--ring-size", "5000"], "'4K'"),
        (vec!["watch", "-q", "-v"], "cannot be used with"),
        (vec!["watch", "--no-such-flag"], "--no-such-flag"),
        (vec!["list", "--lang", "fr"], "zh"),
        (vec!["demo", "conection_reset"], "'connection_reset'"),
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
    let list = stdout(&tcptrace(&["list", "--lang", "en"]));
    let chinese_list = stdout(&tcptrace(&["list", "--lang", "zh"]));
    for pattern in tracer::pattern::CATALOGUE {
        assert!(list.contains(pattern.text.en.title), "{list}");
        assert!(chinese_list.contains(pattern.text.zh.title), "{chinese_list}");
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
