//! Connections to which nothing happens, in network namespaces of their own.
//!
//! `cargo xtask bench start` and `polling` run this with a number of sockets and of namespaces. It prints a line when
//! they are there, and ends when its standard input does. Nothing is left then, however it ended: namespaces are held by
//! processes that end with this one.

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use tracer::lab::namespace::Namespace;

/// What a process is told that holds connections for another one; how many follows.
const HOLD: &str = "hold";
/// Listeners of each such process.
const LISTENERS: usize = 4;
/// Connections of one process: each listener has ports enough for a quarter of them.
const MOST: usize = 80_000;
/// Descriptors of a process or a namespace beside its connections.
const SPARE: usize = 16;

/// As many descriptors as this process may have.
fn raise_limit() -> Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("asking how many descriptors there may be")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("asking for more descriptors")?;
    Ok(usize::try_from(most)?)
}

/// Reads what nobody writes, until its other end is closed.
fn wait_for_end() -> Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).map(drop).context("waiting for the end")
}

/// Holds so many connections, both ends of each.
fn hold(connections: usize) -> Result<()> {
    raise_limit()?;
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<_> = (0..LISTENERS).map(listen).collect::<Result<_, _>>().context("listening")?;
    let mut ends = Vec::with_capacity(connections);
    for listener in listeners.iter().cycle().take(connections) {
        let client = TcpStream::connect(listener.local_addr().context("asking for a port")?);
        ends.push((client.context("connecting")?, listener.accept().context("accepting")?.0));
    }
    println!("{connections} connections");
    wait_for_end()
}

/// Starts a process in a namespace that holds so many connections, and waits until they are there.
fn start(namespace: &Namespace, connections: usize) -> Result<Child> {
    let program = env::current_exe().context("finding this program")?;
    namespace.enter(|| {
        let mut command = Command::new(program);
        command.args([HOLD, &connections.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("running this program")?;
        let mut line = String::new();
        let output = process.stdout.take().context("the output was asked for")?;
        BufReader::new(output).read_line(&mut line).context("waiting for connections")?;
        ensure!(line.trim_end() == format!("{connections} connections"), "there are no connections");
        Ok(process)
    })
}

/// Spreads so many connections over namespaces.
fn spread(connections: usize, namespaces: usize) -> Result<()> {
    let limit = raise_limit()?;
    ensure!(namespaces > 0 && limit > SPARE + 4 * namespaces, "this process may have {limit} descriptors");
    let most = MOST.min((limit - SPARE) / 2);
    let (mut places, mut holders) = (Vec::new(), Vec::new());
    let each = connections / namespaces;
    for _ in 0..namespaces {
        let namespace = Namespace::new()?;
        namespace.raise_loopback()?;
        let mut left = each;
        while left > 0 {
            let some = left.min(most);
            holders.push(start(&namespace, some)?);
            left -= some;
        }
        places.push(namespace);
    }
    println!("{} sockets in {namespaces} namespaces", each * namespaces * 2);
    wait_for_end()?;
    // They end side by side.
    for holder in &mut holders {
        drop(holder.stdin.take());
    }
    for mut holder in holders {
        ensure!(holder.wait().context("waiting for a process")?.success(), "a process failed");
    }
    Ok(())
}

fn main() -> Result<()> {
    // cargo adds a flag of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("{text} is no number"));
    match &arguments[..] {
        [word, connections] if word == HOLD => hold(number(connections)?),
        [sockets, namespaces] => spread(number(sockets)? / 2, number(namespaces)?),
        _ => {
            // As `cargo bench` runs it, when nobody needs sockets.
            println!("sockets takes a number of sockets and one of namespaces");
            Ok(())
        }
    }
}
