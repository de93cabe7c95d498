//! A virtual machine: a kernel of its own, this tree's tcptrace, busybox, and nothing else; gone after one command.
//!
//! The processor is emulated, which needs no rights and works inside other virtual machines.

mod image;

use crate::{
    bench::machine::cpus,
    install::kernel::{KERNELS, Kernel, Unpacked},
    tally::Tally,
};
use anyhow::{Context as _, Result, anyhow, bail};
use image::Image;
use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};
use xtask::place;

/// What the last line of a machine's output begins with; the exit code of its command follows.
const ENDED: &str = "@ended ";
/// Memory of a machine, MiB: the demo has hundreds of processes.
const MEMORY: u32 = 2_048;

/// A machine to boot.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) kernel: &'static Kernel,
    unpacked: Unpacked,
    image: Image,
}

/// How a machine is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// Tells this run's files from those of others of the same kernel.
    pub(crate) name: &'a str,
    /// What its shell does.
    pub(crate) command: &'a str,
    /// What the kernel is told besides.
    pub(crate) parameters: &'a str,
    /// It is ended after that.
    pub(crate) limit: Duration,
    /// Virtual processors.
    pub(crate) processors: u32,
}

/// What a machine's command did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none where the machine ended, or was ended, before.
    pub(crate) code: Option<i32>,
    /// What it wrote.
    pub(crate) output: Vec<String>,
    /// The file of what it and the kernel said besides.
    pub(crate) console: PathBuf,
    /// How long it took with booting.
    pub(crate) took: Duration,
}

/// A machine for each of these kernels, or for every one.
///
/// One that the registry no longer has is skipped, by name.
///
/// # Errors
/// When one that every registry has cannot be fetched, or a machine cannot be packed.
pub(crate) fn machines(names: &[&str], program: &Path, tally: &mut Tally) -> Result<Vec<Machine>> {
    let mut machines = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| names.is_empty() || names.contains(&kernel.name)) {
        match kernel.fetch() {
            Ok(unpacked) => machines.push(Machine::new(kernel, unpacked, program)?),
            Err(error) if kernel.always => return Err(error),
            Err(error) => tally.skip(format!("Linux {}: not run, {error:#}", kernel.title)),
        }
    }
    Ok(machines)
}

/// Works on tasks, from the first on, as many at a time as there are CPUs: the processors of a machine share one.
///
/// # Errors
/// The first of a worker, which takes no further task.
pub(crate) fn side_by_side<T: Send>(tasks: Vec<T>, work: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let tasks = Mutex::new(VecDeque::from(tasks));
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        let worker = || std::iter::from_fn(next).try_for_each(&work);
        let workers: Vec<_> = (0..cpus()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a run panicked"))?)
    })
}

impl Machine {
    /// Packs what the machine will have: `program` as tcptrace, with its libraries.
    pub(crate) fn new(kernel: &'static Kernel, unpacked: Unpacked, program: &Path) -> Result<Self> {
        let folder = place::own_target().join("vm");
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        let image = Image::pack(&folder, kernel.name, &unpacked, program)?;
        Ok(Self { kernel, unpacked, image })
    }

    /// The full name of its kernel, `6.1.0-56-cloud-amd64`.
    pub(crate) fn release(&self) -> &str {
        &self.unpacked.release
    }

    /// Boots it, runs a command in it, and takes each line that the command writes.
    pub(crate) fn run(&self, run: Run<'_>, mut take: impl FnMut(&str)) -> Result<Ran> {
        let start = Instant::now();
        let name = format!("{}-{}", self.kernel.name, run.name);
        let initrd = self.image.with_command(&name, run.command)?;
        let console = initrd.with_extension("console");
        let mut qemu = Command::new("qemu-system-x86_64");
        // One thread for all processors: among several, a kernel that changes its own code at run time, as it does where
        // programs are attached to functions, meets halves of instructions.
        qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-nodefaults", "-no-reboot"]);
        qemu.args(["-display", "none", "-smp", &run.processors.to_string(), "-m", &MEMORY.to_string()]);
        qemu.arg("-kernel").arg(&self.unpacked.image).arg("-initrd").arg(&initrd);
        qemu.args(["-append", &format!("console=ttyS0 quiet panic=-1 {}", run.parameters)]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.args(["-chardev", "stdio,id=output,signal=off", "-serial", "chardev:output"]);
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not run qemu-system-x86_64; `cargo xtask setup` installs it")?;
        let stdout = child.stdout.take().context("the output was asked for")?;
        let (to, lines) = channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        let mut ran = Ran { code: None, output: Vec::new(), console, took: Duration::ZERO };
        loop {
            match lines.recv_timeout(run.limit.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    if let Some(code) = line.strip_prefix(ENDED) {
                        ran.code = code.trim().parse().ok();
                    } else {
                        take(&line);
                        ran.output.push(line);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().context("could not end a virtual machine")?;
                    break;
                }
            }
        }
        let status = child.wait().context("could not wait for a virtual machine")?;
        if reader.join().is_err() {
            bail!("the reader of a virtual machine's output panicked");
        }
        let in_time = start.elapsed() < run.limit;
        if in_time && !status.success() {
            bail!("qemu-system-x86_64 failed ({status})");
        }
        fs::remove_file(&initrd).with_context(|| format!("could not remove {}", initrd.display()))?;
        ran.took = start.elapsed();
        Ok(ran)
    }
}
