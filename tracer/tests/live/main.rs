//! The running kernel: what the demo makes happen is told, and the command line holds on live traffic.
//! Where rights or kernel really lack something a test says so and is skipped; where BPF should work, it fails.

mod memory;
mod reconcile;
mod ring;
mod special;
mod support;
mod traps;

use serde_json::Value;
use std::{
    fs,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};
use support::{Namespace, Watch, refuse_connection, skipped, tcptrace};
use tracer::lab::{
    actor::Program,
    case,
    path::{Family, Medium, Path},
    world::World,
};

#[test]
fn the_demo_is_told_as_it_happens_and_nothing_else_is() {
    if skipped("the_demo_is_told_as_it_happens_and_nothing_else_is") {
        return;
    }
    let _alone = alone();
    let output = tcptrace(&["demo"]).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{error}");
}

#[test]
fn the_demo_misses_a_rule_that_is_off() {
    if skipped("the_demo_misses_a_rule_that_is_off") {
        return;
    }
    let _alone = alone();
    let content = |id: &&str| {
        let output = tcptrace(&["demo", id, "--exclude", id]).output().expect("the program runs");
        output.status.code() != Some(1)
    };
    // Those that nothing makes happen are counted where no root is needed.
    let played = |id: &&str| case::NOT_PLAYED.iter().all(|(other, _)| other != id);
    let ids: Vec<&str> = tracer::pattern::CATALOGUE.iter().map(|pattern| pattern.id).filter(played).collect();
    // Each waits most of its time for what does not come; few at once keep the others' time limits true.
    let blind: Vec<&str> = thread::scope(|scope| {
        let quarters = ids.chunks(ids.len().div_ceil(4));
        let threads: Vec<_> = quarters
            .map(|ids| scope.spawn(move || ids.iter().copied().filter(content).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
    });
    assert!(blind.is_empty(), "off, and the demo is content: {blind:?}");
}

/// Demos of several tests would be too many processes at once.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn filters_act_on_live_traffic() {
    if skipped("filters_act_on_live_traffic") {
        return;
    }
    let namespace = Namespace::new();
    // The port is refused in every run; each filter wants it or not.
    for (flags, wanted) in [
        (&["--port", "7"][..], true),
        (&["-D", "7"], true),
        (&["-D", "8"], false),
        (&["--addr", "127.0.0.0/8"], true),
        (&["--addr", "10.0.0.0/8"], false),
        (&["-6"], false),
        (&["--comm", "no-such-name"], false),
        (&["--exclude", "connection_refused"], false),
        (&["--pattern", "connection_refused"], true),
    ] {
        let mut watch = Watch::start(namespace.inode(), flags);
        namespace.run(|| refuse_connection(7));
        let (findings, stop) = watch.stop();
        let told = findings.iter().any(|finding| finding["pattern"] == "connection_refused");
        assert_eq!(told, wanted, "{flags:?}: {findings:?} {stop}");
        assert_eq!(stop["malformed"], 0);
    }
}

#[test]
fn a_finding_carries_what_the_contract_says() {
    if skipped("a_finding_carries_what_the_contract_says") {
        return;
    }
    let namespace = Namespace::new();
    let mut watch = Watch::start(namespace.inode(), &[]);
    namespace.run(|| refuse_connection(9));
    let (findings, _) = watch.stop();
    let [finding] = findings.as_slice() else { panic!("one finding, not {findings:?}") };
    assert_eq!(finding["v"], 1);
    assert_eq!(finding["errno"], "ECONNREFUSED");
    assert_eq!(finding["process"]["pid"], std::process::id());
    assert_eq!(finding["process"]["source"], "connect");
    assert_eq!(finding["connection"]["family"], "ipv4");
    assert_eq!(finding["connection"]["remote"]["port"], 9);
    assert_eq!(finding["connection"]["netns"], namespace.inode());
    assert_eq!(finding["connection"]["direction"], "outgoing");
    assert_eq!(finding["complete"], true, "{finding}");
    assert!(finding["process"]["exe"].as_str().is_some_and(|exe| exe.contains("live")), "{finding}");
    assert!(finding["connection"]["community_id"].as_str().is_some_and(|id| id.starts_with("1:")));
}

#[test]
fn a_client_that_takes_its_server_with_it_is_one_chain() {
    if skipped("a_client_that_takes_its_server_with_it_is_one_chain") {
        return;
    }
    let program = Program::new(env!("CARGO_BIN_EXE_tcptrace"), &["__actor"]);
    let world = Arc::new(World::new(program).expect("a world"));
    let case = case::patterns().find(|case| case.pattern == Some("sigpipe_killed")).expect("the case");
    let mut watch = Watch::start(world.inodes()[0], &[]);
    let staged = case.stage(world, Path::new(Medium::Loopback, Family::V4)).expect("the case");
    let expected = staged.expected.as_ref().expect("a pattern");
    let (findings, stop) = watch.stop();
    let named = |id: &str| findings.iter().find(|finding| finding["pattern"] == id);
    let (Some(first), Some(last)) = (named("process_died"), named("sigpipe_killed")) else {
        panic!("{findings:?} {stop}");
    };
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert_eq!(last["follows"], serde_json::json!([first["id"]]), "{last}");
    for finding in [first, last] {
        assert_eq!(finding["process"]["pid"], expected.local_pid.expect("the server"), "{finding}");
        assert_eq!(finding["peer"]["process"]["pid"], expected.peer_pid.expect("the client"), "{finding}");
    }
    assert_eq!((&first["errno"], &last["errno"]), (&"ECONNRESET".into(), &"EPIPE".into()));
    assert_eq!((&last["errno_source"], &last["signal"]), (&"observed".into(), &"SIGPIPE".into()), "{last}");
    staged.release();
}

#[test]
fn system_calls_are_left_out_when_that_is_asked_for_and_it_is_said_what_goes() {
    if skipped("system_calls_are_left_out_when_that_is_asked_for_and_it_is_said_what_goes") {
        return;
    }
    let namespace = Namespace::new();
    for (flags, told) in [
        (&[][..], true),
        (&["--no-syscalls"], false),
        // Nothing that is on needs the hook: it is not attached, and nothing is lost.
        (&["--pattern", "connection_refused"], false),
    ] {
        let mut watch = Watch::start(namespace.inode(), flags);
        namespace.run(|| {
            let error =
                TcpStream::connect((Ipv4Addr::new(203, 0, 113, 1), 7)).expect_err("there is no route");
            assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
        });
        let attached = watch.probe("call")["attached"] == "tracepoint";
        let (findings, _) = watch.stop();
        assert_eq!((attached, findings.len()), (told, usize::from(told)), "{flags:?}: {findings:?}");
        if let [finding] = findings.as_slice() {
            assert_eq!(finding["pattern"], "local_unreachable");
            assert_eq!(
                (&finding["errno"], &finding["errno_source"]),
                (&"ENETUNREACH".into(), &"observed".into())
            );
        }
        let (_, said) = watch.wait();
        assert_eq!(said.contains("local_unreachable"), flags == ["--no-syscalls"], "{said}");
    }
}

#[test]
fn doctor_counts_the_instructions_that_were_verified() {
    if skipped("doctor_counts_the_instructions_that_were_verified") {
        return;
    }
    let said = |flag| tcptrace(&["doctor", flag]).output().expect("the program runs").stdout;
    let report: Value = serde_json::from_slice(&said("--json")).expect("JSON");
    let mut names = Vec::new();
    for probe in report["probes"].as_array().expect("a list") {
        let programs = probe["programs"].as_array().expect("a list");
        assert_eq!(programs.is_empty(), probe["attached"].is_null(), "{probe}");
        for program in programs {
            let name = program["name"].as_str().expect("a name");
            let Some(count) = program.get("verified_instructions") else {
                println!("SKIP doctor_counts_the_instructions_that_were_verified: this kernel does not say");
                return;
            };
            assert!(count.as_u64().is_some_and(|count| count > 0), "{probe}");
            names.push(name);
        }
    }
    let said_at_most = String::from_utf8_lossy(&said("--verifier")).into_owned();
    let most: Vec<(&str, u64)> = said_at_most
        .lines()
        .map(|line| {
            let (name, count) = line.split_once('\t').expect("two columns");
            (name, count.parse().expect("a number"))
        })
        .collect();
    assert_eq!(most.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    assert!(most.iter().all(|(_, count)| *count > 0), "{most:?}");
    let brief = String::from_utf8_lossy(&said("--backend=auto")).into_owned();
    let long = String::from_utf8_lossy(&said("-v")).into_owned();
    assert!(!brief.contains("instructions verified"), "{brief}");
    assert!(long.contains("instructions verified: state_change "), "{long}");
}

#[test]
fn one_look_shows_what_is_wrong_now() {
    if skipped("one_look_shows_what_is_wrong_now") {
        return;
    }
    let namespace = Namespace::new();
    namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut left = TcpStream::connect(address).expect("it listens");
        drop(listener.accept().expect("it waits"));
        assert_eq!(left.read(&mut [0]).expect("the end"), 0);
        let waits = TcpStream::connect(address).expect("it listens");
        let look = |flags: &[&str]| {
            let output = tcptrace(&["sockets"]).args(flags).output().expect("the program runs");
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        };
        let records: Vec<Value> =
            look(&["--json"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let here = |wrong: &str, port: &str, of: u16| {
            let is = |record: &&Value| record["wrong"] == wrong && record["connection"][port]["port"] == of;
            records.iter().find(is).unwrap_or_else(|| panic!("no {wrong}: {records:?}"))
        };
        let leak = here("close_wait", "remote", address.port());
        assert_eq!(leak["process"]["pid"], std::process::id());
        assert_eq!(leak["process"]["fd"], left.as_raw_fd());
        let queue = here("queue_waits", "local", address.port());
        assert_eq!(
            (&queue["queue"]["depth"], &queue["process"]["fd"]),
            (&1.into(), &listener.as_raw_fd().into())
        );
        let parked = here("parked_fin_wait2", "local", address.port());
        assert!(parked["process"].is_null(), "{parked}");
        let text = look(&[]);
        assert!(text.lines().all(|line| line.chars().count() <= 80) && text.contains("close_wait"), "{text}");
        drop(waits);
    });
}

#[test]
fn a_command_is_watched_and_its_status_is_ours() {
    if skipped("a_command_is_watched_and_its_status_is_ours") {
        return;
    }
    let run = |flags: &[&str], shell: &str| {
        let mut command = tcptrace(&["watch", "--quiet"]);
        command.args(flags).args(["--", "sh", "-c", shell]).stdin(Stdio::null());
        command.output().expect("the program runs")
    };
    assert_eq!(run(&[], "exit 7").status.code(), Some(7));
    // The tracer raises its own limit of open files, not the command's.
    let program = env!("CARGO_BIN_EXE_tcptrace");
    let limited = format!("ulimit -Sn 900 && exec {program} watch --quiet -- sh -c 'ulimit -Sn >&2'");
    let output = Command::new("sh").args(["-c", &limited]).stdin(Stdio::null()).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.lines().any(|line| line == "900"), "{said}");
    assert_eq!(run(&[], "kill -9 $$").status.code(), Some(137));
    let refused = "exec 2>/dev/null; (exec 3<>/dev/tcp/127.0.0.1/1); exit 0";
    let bash = |flags: &[&str]| {
        let mut command = tcptrace(&["watch", "--quiet"]);
        command.args(flags).args(["--", "bash", "-c", refused]).stdin(Stdio::null());
        command.output().expect("the program runs")
    };
    let output = bash(&["--fail-on", "warning"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("connection_refused") && said.contains("bash"), "{said}");
    assert_eq!(bash(&["--fail-on", "critical"]).status.code(), Some(0));
}

#[test]
fn the_kernel_programs_speak_at_the_third_v_only() {
    if skipped("the_kernel_programs_speak_at_the_third_v_only") {
        return;
    }
    let said = |flags: &[&str]| {
        let mut command = tcptrace(&["watch"]);
        command.args(flags).args([
            "--",
            "bash",
            "-c",
            "exec 2>/dev/null; (exec 3<>/dev/tcp/127.0.0.1/1); exit 0",
        ]);
        let output = command.stdin(Stdio::null()).output().expect("the program runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let loud = said(&["-vvv", "--port", "1"]);
    assert!(loud.contains("state change of socket") && loud.contains(": told"), "{loud}");
    assert!(!loud.contains('\u{1b}'), "colour into a pipe: {loud}");
    let quiet = said(&["-vv", "--port", "1"]);
    assert!(!quiet.contains("state change of socket"), "{quiet}");
}

#[test]
fn the_ready_file_is_checked_first_and_appears_whole() {
    if skipped("the_ready_file_is_checked_first_and_appears_whole") {
        return;
    }
    let output =
        tcptrace(&["watch", "--ready-file", "/proc/no/such/file"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/proc/no/such/file"));
    let path = std::env::temp_dir().join(format!("tcptrace-ready-{}", std::process::id()));
    let text = path.to_str().expect("a plain path");
    let output =
        tcptrace(&["watch", "--ready-file", text, "--duration", "10ms"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
    fs::remove_file(&path).expect("it was there");
}

#[test]
fn a_closed_pipe_ends_the_watch_quietly() {
    if skipped("a_closed_pipe_ends_the_watch_quietly") {
        return;
    }
    let namespace = Namespace::new();
    let mut watch = Watch::start(namespace.inode(), &[]);
    watch.close_output();
    // The next record finds nobody there.
    namespace.run(|| refuse_connection(7));
    let (status, said) = watch.wait();
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said, "");
}

#[test]
fn without_rights_the_missing_capability_is_named() {
    if skipped("without_rights_the_missing_capability_is_named") {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    // The program must be where nobody may run it.
    let place = std::env::temp_dir().join(format!("tcptrace-{}", std::process::id()));
    fs::copy(env!("CARGO_BIN_EXE_tcptrace"), &place).expect("a copy");
    let output = command.arg(&place).arg("watch").output();
    fs::remove_file(&place).expect("it was there");
    let Ok(output) = output else {
        println!("SKIP without_rights_the_missing_capability_is_named: there is no setpriv here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CAP_BPF") || said.contains("CAP_PERFMON"), "{said}");
}
