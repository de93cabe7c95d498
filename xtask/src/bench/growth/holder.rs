//! Live connections over loopback that do nothing: processes of this program hold both their ends.

use anyhow::{Context as _, Result, ensure};
use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, ExitCode, Stdio},
};

/// The argument with which this program holds connections: an address and a number follow.
pub(crate) const ARGUMENT: &str = "__hold";

/// Connections of one process, two descriptors each: one address and port have room for 28,000.
const MOST: u32 = 8_000;
/// Gives what follows its number of descriptors; root may have more than it was given.
const WITH_DESCRIPTORS: &str = "ulimit -n 17000 && exec \"$@\"";
/// What a holder says when all its connections are there.
const READY: &str = "held";

/// Connections that live until this is dropped.
#[derive(Default)]
pub(super) struct Held {
    processes: Vec<Child>,
    connections: u32,
}

impl Held {
    /// Adds what is missing to so many.
    pub(super) fn raise_to(&mut self, connections: u32) -> Result<()> {
        while self.connections < connections {
            let more = MOST.min(connections - self.connections);
            let process = u8::try_from(self.processes.len()).context("too many processes")?;
            self.processes.push(start(Ipv4Addr::new(127, 0, 1, process), more)?);
            self.connections += more;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // The end of its input tells it to end.
            drop(process.stdin.take());
        }
        for process in &mut self.processes {
            if let Err(error) = process.wait() {
                eprintln!("waiting for a holder of connections: {error}");
            }
        }
    }
}

fn start(address: Ipv4Addr, connections: u32) -> Result<Child> {
    let own = env::current_exe().context("looking for this program")?;
    let mut command = Command::new("sh");
    command.args(["-c", WITH_DESCRIPTORS, "sh"]).arg(own);
    command.args([ARGUMENT, &address.to_string(), &connections.to_string()]);
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("could not run sh")?;
    let mut line = String::new();
    let said = process.stdout.take().context("the output was asked for")?;
    BufReader::new(said).read_line(&mut line).context("waiting for connections")?;
    if line.trim_end() != READY {
        process.wait().context("waiting for its end")?;
    }
    ensure!(line.trim_end() == READY, "could not hold {connections} connections at {address}");
    Ok(process)
}

/// Holds connections until its input ends.
pub(crate) fn play(arguments: &[&str]) -> Result<ExitCode> {
    let [address, connections] = arguments else { anyhow::bail!("{ARGUMENT} is for the bench alone") };
    let address: Ipv4Addr = address.parse().context("reading an address")?;
    let connections: u32 = connections.parse().context("reading a number")?;
    let listener = TcpListener::bind((address, 0)).context("listening on loopback")?;
    let at = listener.local_addr().context("asking for the port")?;
    let connect = |_| -> Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect(at).context("connecting")?;
        Ok((client, listener.accept().context("accepting")?.0))
    };
    let held = (0..connections).map(connect).collect::<Result<Vec<_>>>()?;
    writeln!(io::stdout(), "{READY}").context("saying so")?;
    io::stdin().read_to_end(&mut Vec::new()).context("waiting for the end")?;
    for (mut client, server) in held {
        // What is closed with unread data is reset: nothing stays in TIME_WAIT, of which others need the room.
        client.write_all(b"x").context("writing")?;
        drop(server);
    }
    Ok(ExitCode::SUCCESS)
}
