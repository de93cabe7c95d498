//! A short measurement of a few patterns, so that the way of measuring stays whole.

use std::{path::Path, process::Command};

/// Told at once, by a process that is gone, by a call without a connection, and through a router.
const PATTERNS: &str = "broken_pipe,process_died,socket_option_error,connection_reset";
/// Servers that every machine for tests has.
const TRAFFIC: &str = "http,redis";

#[test]
fn a_short_measurement_finds_everything() {
    const NAME: &str = "a_short_measurement_finds_everything";
    let accuracy = Path::new(env!("CARGO_BIN_EXE_accuracy"));
    let tcptrace = accuracy.with_file_name("tcptrace");
    if !tcptrace.is_file() {
        println!("SKIP {NAME}: {} is not built", tcptrace.display());
        return;
    }
    let mut command = Command::new(accuracy);
    command.arg("--program").arg(tcptrace).args(["--seeds", "1", "--per-id", "4", "--pattern", PATTERNS]);
    command.args(["--traffic", TRAFFIC]);
    let output = command.output().expect("the program runs");
    let (said, problems) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if let Some(why) =
        problems.lines().find(|line| line.contains("not root") || line.contains("there is no "))
    {
        println!("SKIP {NAME}: {why}");
        return;
    }
    assert!(output.status.success(), "{said}\n{problems}");
    let all = said.lines().find(|line| line.starts_with("| **all** ")).expect("a table");
    assert!(all.starts_with("| **all** | 16 | 100.00 % | 100.00 % |"), "{all}");
}
