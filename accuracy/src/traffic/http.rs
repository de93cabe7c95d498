//! nginx, and a client that reads every reply to its end.

use super::{
    Host, Traffic, program,
    server::{ADDRESS, Folder, Server, connect},
};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

const BODY: usize = 1_000;
/// Requests of a connection that is kept.
const KEPT: u32 = 3;

/// The server.
pub(crate) struct Http(Server);

impl Http {
    /// Starts a server of one process.
    pub(crate) fn start() -> Result<Self> {
        let program = program("nginx")?;
        let command = |folder: &Path| {
            let configuration = folder.join("nginx.conf");
            fs::write(&configuration, configure(folder)?).context("configuring nginx")?;
            let mut command = Command::new(program);
            // -e: or it opens the error log it was built with before it knows another.
            command.arg("-e").arg(folder.join("error.log"));
            command.arg("-p").arg(folder).arg("-c").arg(configuration);
            Ok(command)
        };
        let answers = |stream| visit(stream, 0);
        Server::start("nginx", Signal::SIGTERM, Folder::new("nginx")?, command, answers).map(Self)
    }
}

impl Traffic for Http {
    fn name(&self) -> &'static str {
        "of HTTP"
    }

    fn host(&self) -> &Host {
        &self.0.host
    }

    fn burst(&self, connections: u32) -> Result<u32> {
        self.host().enter(|| (0..connections).try_for_each(|number| visit(connect()?, number)))?;
        Ok(connections)
    }

    fn gentle(&self) -> u32 {
        40
    }
}

/// One connection: one request after which the server closes, or the client, or several of them.
fn visit(stream: TcpStream, number: u32) -> Result<()> {
    let mut stream = BufReader::new(stream);
    match number % 3 {
        0 => {
            ask(&mut stream, "close")?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).context("reading the end")?;
            ensure!(rest.is_empty(), "nginx said more than it had announced");
        }
        1 => ask(&mut stream, "keep-alive")?,
        _ => (0..KEPT).try_for_each(|_| ask(&mut stream, "keep-alive"))?,
    }
    Ok(())
}

/// A request and its whole reply.
fn ask(stream: &mut BufReader<TcpStream>, connection: &str) -> Result<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).context("writing a request")?;
    let mut length = None;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).context("reading the head of a reply")? == 0 {
            bail!("nginx ended within a reply");
        }
        match line.trim_end() {
            "" => break,
            field => {
                length = field.strip_prefix("Content-Length: ").map_or(length, |value| value.parse().ok());
            }
        }
    }
    let length: usize = length.context("nginx announces no length")?;
    ensure!(length == BODY, "the reply has {length} bytes");
    stream.read_exact(&mut [0; BODY]).context("reading a reply")
}

fn configure(folder: &Path) -> Result<String> {
    let root = folder.display();
    // A user of its own would need rights to the folder.
    let mut text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\n\
         pid {root}/pid;\nlock_file {root}/lock;\nerror_log {root}/error.log warn;\n\
         events {{ worker_connections 256; }}\nhttp {{\n  access_log off;\n"
    );
    for purpose in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {purpose}_temp_path {root}/{purpose};")?;
    }
    writeln!(text, "  server {{ listen {ADDRESS}; return 200 {}; }}\n}}", "n".repeat(BODY))?;
    Ok(text)
}
