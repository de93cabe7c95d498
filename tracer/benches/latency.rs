//! How long it takes from an incident to its line on the pipe of `tcptrace watch --json`.
//!
//! `cargo xtask bench latency` runs this with the path of tcptrace, `spread` or `dense`, and how many incidents of each
//! kind are made. It prints a line an incident: its kind, and nanoseconds to its line from the time that the line tells,
//! and from before the call that caused it; `missing` instead, where no line came.

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, gettid},
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};
use tracer::{kernel::clock, time::Time};

/// Nobody else's addresses: other loads leave no port of 127.0.0.1 free.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 7, 7, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 7, 7, 2);
/// What has not come by then never comes; attaching takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A line that is so late is missing.
const LATE: Duration = Duration::from_secs(5);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing listens: judged when no success elsewhere has come, at the end of `join.hold`.
    Refused,
    /// The peer aborts while its process waits in recv(): judged as soon as both ends are known.
    Reset,
}

impl Kind {
    /// On the lines of this bench.
    fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Reset => "linger_zero_abort",
        }
    }
}

/// What was made to happen.
#[derive(Clone, Copy, Debug)]
struct Incident {
    kind: Kind,
    /// The port of the client, which gets the error.
    port: u16,
    /// Before the call that caused it.
    before: Time,
}

/// A finding's line.
struct Line {
    /// When it was read.
    read: Time,
    text: String,
}

/// A finding, as far as it tells of an incident.
struct Told {
    pattern: String,
    port: u16,
    happened: Time,
    read: Time,
}

/// Time between two incidents, in milliseconds.
fn pause(spread: bool) -> u64 {
    // A second after the last record the daemon looks at its ring seldom.
    if spread { fastrand::u64(1_050..1_350) } else { fastrand::u64(5..60) }
}

/// A socket at a port of its own.
fn bound(address: Ipv4Addr) -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("making a socket")?;
    socket.bind(&SocketAddr::from((address, 0)).into()).context("binding a socket")?;
    let own = socket.local_addr().context("asking for a port")?.as_socket().context("it is of IPv4")?;
    Ok((socket, own))
}

/// Is refused by a port at which nobody listens.
fn refuse(closed: SocketAddr) -> Result<Incident> {
    let (socket, own) = bound(CLIENT)?;
    let before = clock::now();
    let refused = socket.connect(&closed.into());
    ensure!(refused.is_err(), "somebody listens at {closed}");
    Ok(Incident { kind: Kind::Refused, port: own.port(), before })
}

/// Aborts a connection whose other end waits for data.
fn reset(listener: &TcpListener) -> Result<Incident> {
    let (socket, own) = bound(CLIENT)?;
    socket.connect(&listener.local_addr().context("asking for a port")?.into()).context("connecting")?;
    let (server, _) = listener.accept().context("accepting")?;
    let mut client = TcpStream::from(socket);
    let (send, reads) = mpsc::channel();
    let reader = thread::spawn(move || {
        // Nobody waits for it any more when that fails.
        let _ = send.send(gettid());
        client.read(&mut [0])
    });
    let reader_id = reads.recv().context("the reader has ended")?;
    wait_until_asleep(reader_id)?;
    SockRef::from(&server).set_linger(Some(Duration::ZERO)).context("setting SO_LINGER")?;
    let before = clock::now();
    drop(server);
    let read = reader.join().ok().context("the reader panicked")?;
    ensure!(read.is_err(), "the reader was not reset");
    Ok(Incident { kind: Kind::Reset, port: own.port(), before })
}

/// Waits until a thread of this process waits; the kernel offers no signal for that.
fn wait_until_asleep(thread: Pid) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let path = format!("/proc/self/task/{thread}/stat");
    loop {
        let stat = fs::read_to_string(&path).context("looking at a thread")?;
        if stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S')) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the reader does not wait");
        thread::yield_now();
    }
}

/// Starts the daemon; its lines, each with the time at which it was read.
fn watch(program: &str) -> Result<(Child, Receiver<Line>)> {
    let mut command = Command::new(program);
    // Every incident has a record of its own.
    command.args(["watch", "--json", "--quiet", "--set", "storm.window=0s"]);
    let mut daemon =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("running tcptrace")?;
    let mut output = BufReader::new(daemon.stdout.take().context("the output was asked for")?);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let mut text = String::new();
            if output.read_line(&mut text).is_ok_and(|length| length > 0) {
                let line = Line { read: clock::now(), text };
                if send.send(line).is_ok() {
                    continue;
                }
            }
            break;
        }
    });
    let first = lines.recv_timeout(PATIENCE).context("tcptrace did not start to watch")?;
    ensure!(first.text.contains("\"type\":\"start\""), "tcptrace began with {}", first.text);
    Ok((daemon, lines))
}

/// What a line tells of a client of this bench; none of another.
fn told(line: &Line) -> Result<Option<Told>> {
    let record: serde_json::Value = serde_json::from_str(&line.text).context("reading a line of tcptrace")?;
    if record["type"] != "finding" {
        return Ok(None);
    }
    let client = CLIENT.to_string();
    let ends = ["local", "remote"].map(|end| &record["connection"][end]);
    let Some(port) = ends.iter().find(|end| end["address"] == client).and_then(|end| end["port"].as_u64())
    else {
        return Ok(None);
    };
    Ok(Some(Told {
        pattern: record["pattern"].as_str().context("a finding has a pattern")?.to_owned(),
        port: u16::try_from(port).context("a port")?,
        happened: Time(record["boot_ns"].as_u64().context("a finding has a time")?),
        read: line.read,
    }))
}

/// Prints what became of each incident.
fn print(incidents: &[Incident], lines: impl Iterator<Item = Line>) -> Result<()> {
    let mut by_port: HashMap<u16, Vec<Told>> = HashMap::new();
    for line in lines {
        if let Some(told) = told(&line)? {
            by_port.entry(told.port).or_default().push(told);
        }
    }
    for Incident { kind, port, before } in incidents {
        // A port may be used again: the first finding of the right kind after the incident is its own.
        let mut all = by_port.get_mut(port).into_iter().flatten();
        let own = all.find(|told| told.pattern == kind.pattern() && told.happened >= *before);
        let Some(Told { happened, read, .. }) = own else {
            println!("{} missing", kind.name());
            continue;
        };
        println!("{} {} {}", kind.name(), read.since(*happened).as_nanos(), read.since(*before).as_nanos());
    }
    Ok(())
}

fn main() -> Result<()> {
    // cargo adds a flag of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [program, way, count] = &arguments[..] else {
        // As `cargo bench` runs it, when nobody measures latency.
        println!("latency takes the path of tcptrace, spread or dense, and a number of incidents");
        return Ok(());
    };
    let count: usize = count.parse().context("reading the number of incidents")?;
    let spread = match way.as_str() {
        "spread" => true,
        "dense" => false,
        other => bail!("{other} is neither spread nor dense"),
    };
    let listener = TcpListener::bind((SERVER, 0)).context("listening")?;
    // Nobody else can listen where this one does not.
    let (_closed, closed) = bound(SERVER)?;
    let (mut daemon, lines) = watch(program)?;
    let mut kinds = [Kind::Refused, Kind::Reset].repeat(count);
    fastrand::shuffle(&mut kinds);
    let made = kinds.into_iter().map(|kind| {
        thread::sleep(Duration::from_millis(pause(spread)));
        match kind {
            Kind::Refused => refuse(closed),
            Kind::Reset => reset(&listener),
        }
    });
    let made: Result<Vec<Incident>> = made.collect();
    thread::sleep(LATE);
    kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM).context("ending tcptrace")?;
    let mut read = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => read.push(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                daemon.kill().context("killing tcptrace")?;
                bail!("tcptrace does not end");
            }
        }
    }
    ensure!(daemon.wait().context("waiting for tcptrace")?.success(), "tcptrace failed");
    print(&made?, read.into_iter())
}
