//! nginx inside a namespace, with a folder of its own, and what it says of its connections.

use super::fault::{Fault, Kind};
use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::{BTreeMap, HashMap},
    env,
    fmt::Write as _,
    fs::{self, File},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tracer::lab::namespace::Namespace;

/// Where requests are answered well. All ports lie below those that clients get.
pub(super) const HTTP: u16 = 8080;
/// Where bad requests go: nginx replies and closes, and writes down which process has served whom.
pub(super) const BAD: u16 = 8081;
/// Where HTTP/2 is spoken: nginx says something as soon as it has read something.
pub(super) const HTTP2: u16 = 8082;
/// Bytes of a reply, its head not counted.
pub(super) const BODY: usize = 2_000;

/// Two, so that the right process has to be told from its twin.
const WORKERS: usize = 2;
/// nginx starts and ends within milliseconds.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether nginx has got further; it tells nobody.
const PERIOD: Duration = Duration::from_millis(10);

/// The nginx to test with: in PATH, where Debian installs it, or where `cargo xtask setup` unpacks it.
pub(super) fn program() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), unpacked])
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file())
}

/// A folder under the target directory that goes with this value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// A running nginx; ended when dropped.
pub(super) struct Nginx {
    master: Child,
    workers: Vec<u32>,
    access: PathBuf,
    error: PathBuf,
    said: PathBuf,
}

/// What nginx's own calls and logs tell of the faults.
#[derive(Debug)]
pub(super) struct Testimony {
    /// Its processes that have connections.
    pub(super) workers: Vec<u32>,
    /// Which worker served the bad request of a client.
    pub(super) served: HashMap<SocketAddr, u32>,
    /// How often a call of a worker on a connection failed, and how.
    pub(super) failed: BTreeMap<(u32, String), u64>,
}

impl Nginx {
    /// Starts it, and returns when it answers.
    pub(super) fn start(
        program: &Path,
        folder: &Folder,
        namespace: &Namespace,
        hosts: &[IpAddr],
    ) -> Result<Self> {
        let (access, error, said) =
            (folder.file("access.log"), folder.file("error.log"), folder.file("nginx.said"));
        let configuration = folder.file("nginx.conf");
        fs::write(&configuration, configure(folder, hosts)?).context("configuring nginx")?;
        let mut command = Command::new(program);
        command.arg("-p").arg(&folder.0).arg("-c").arg(&configuration).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(File::create(&said).context("making a file for nginx")?);
        // A child is born into the namespace of the thread that starts it.
        let master = namespace.enter(|| command.spawn().context("starting nginx"))?;
        let mut nginx = Self { master, workers: Vec::new(), access, error, said };
        let until = Instant::now() + LIMIT;
        loop {
            nginx.workers = nginx.children();
            let answer = namespace.enter(|| hosts.iter().try_for_each(|host| super::load::request(*host, 1)));
            let problem = match answer {
                Ok(()) if nginx.workers.len() == WORKERS => return Ok(nginx),
                Ok(()) => format!("{} of {WORKERS} workers are here", nginx.workers.len()),
                Err(error) => format!("{error:#}"),
            };
            let ended = nginx.master.try_wait().context("looking at nginx")?;
            if ended.is_some() || Instant::now() >= until {
                let said = fs::read_to_string(&nginx.said).unwrap_or_default();
                bail!("nginx does not answer ({ended:?}; {problem}): {said}");
            }
            thread::sleep(PERIOD);
        }
    }

    /// What nginx knows of the faults, as soon as it has noticed all that concern it.
    pub(super) fn testimony(&self, faults: &[Fault]) -> Result<Testimony> {
        let expected = faults.iter().filter(|fault| fault.kind == Kind::Reset).count() as u64;
        let until = Instant::now() + LIMIT;
        let failed = loop {
            let failed = failures(&fs::read_to_string(&self.error).context("reading nginx's error log")?);
            if failed.values().sum::<u64>() >= expected || Instant::now() >= until {
                break failed;
            }
            thread::sleep(PERIOD);
        };
        let served = fs::read_to_string(&self.access).context("reading nginx's access log")?;
        let served: Option<HashMap<_, _>> = served.lines().map(service).collect();
        let served = served.context("nginx's access log has another form")?;
        Ok(Testimony { workers: self.workers.clone(), served, failed })
    }

    fn children(&self) -> Vec<u32> {
        let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
        all.filter_map(|process| process.ok()?.stat().ok())
            .filter(|stat| u32::try_from(stat.ppid) == Ok(self.master.id()))
            .filter_map(|stat| u32::try_from(stat.pid).ok())
            .collect()
    }

    /// Asks it to end, and waits for that.
    fn end(&mut self) -> Result<()> {
        signal(self.master.id(), Signal::SIGTERM)?;
        let until = Instant::now() + LIMIT;
        while self.master.try_wait()?.is_none() {
            if Instant::now() >= until {
                bail!("nginx does not end");
            }
            thread::sleep(PERIOD);
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let workers = self.children();
        if self.end().is_err() {
            // The workers do not notice the end of a master that is killed.
            for pid in workers.into_iter().chain([self.master.id()]) {
                // Fails only when it has ended already.
                _ = signal(pid, Signal::SIGKILL);
            }
            _ = self.master.wait();
        }
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

fn configure(folder: &Folder, hosts: &[IpAddr]) -> Result<String> {
    let root = folder.0.display();
    let listen = |port: u16, how: &str| {
        let lines = hosts.iter().map(|host| format!("    listen {}{how};\n", SocketAddr::new(*host, port)));
        lines.collect::<String>()
    };
    let mut text = format!(
        "daemon off;\nmaster_process on;\nworker_processes {WORKERS};\nuser root;\n\
         pid {root}/pid;\nlock_file {root}/lock;\nerror_log {root}/error.log info;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 60;\n\
         \x20 log_format service '$remote_addr $remote_port $pid';\n",
    );
    for purpose in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {purpose}_temp_path {root}/{purpose};")?;
    }
    let body = "n".repeat(BODY);
    writeln!(text, "  server {{\n{}    return 200 {body};\n  }}", listen(HTTP, ""))?;
    fs::write(folder.file("bad"), &body).context("writing the reply to bad requests")?;
    // Else nginx reads on after its FIN, for what it has not parsed. The FIN travels with the reply, see `late_write`.
    let closing = "lingering_close off;\n    sendfile on;\n    tcp_nopush on;";
    let reply = format!("root {root};\n    error_page 400 /bad;\n    access_log {root}/access.log service;");
    writeln!(text, "  server {{\n{}    {closing}\n    {reply}\n  }}", listen(BAD, ""))?;
    writeln!(text, "  server {{\n{}  }}\n}}", listen(HTTP2, " http2"))?;
    Ok(text)
}

/// A line of the access log: the client and the worker.
fn service(line: &str) -> Option<(SocketAddr, u32)> {
    let mut words = line.split(' ');
    let (host, port, pid) = (words.next()?, words.next()?, words.next()?);
    Some((SocketAddr::new(host.parse().ok()?, port.parse().ok()?), pid.parse().ok()?))
}

/// The calls that failed on connections, by worker and errno: `… [info] PID#TID: *7 recv() failed (104: …) …`.
fn failures(log: &str) -> BTreeMap<(u32, String), u64> {
    let mut failed = BTreeMap::new();
    for line in log.lines() {
        let Some((head, tail)) = line.split_once("() failed (") else { continue };
        let pid = head.split_once("] ").and_then(|(_, rest)| rest.split_once('#')?.0.parse().ok());
        let number = tail.split_once(':').and_then(|(number, _)| number.parse().ok());
        if let (Some(pid), Some(number)) = (pid, number) {
            *failed.entry((pid, format!("{:?}", Errno::from_raw(number)))).or_default() += 1;
        }
    }
    failed
}
