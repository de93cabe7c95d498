//! The file system of a virtual machine, as the kernel unpacks it.

use super::ENDED;
use crate::install::kernel::Unpacked;
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use xtask::place;

/// The first process: it makes what a host has, runs the command, and ends the machine.
///
/// The command writes to the second serial line; its standard error goes where the kernel's messages go.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/ TERM=dumb RUST_BACKTRACE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /tmp /run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ulimit -n 65536
ip link set lo up
while read module; do insmod "/modules/$module" || echo "init: no module $module"; done </modules/order
stty -F /dev/ttyS1 raw
set -o pipefail
# Through a pipe: standard error is no terminal.
{ sh /command </dev/null >/dev/ttyS1; } 2>&1 | cat >/dev/console
echo "ENDED$?" >/dev/ttyS1
poweroff -f
"#;

/// Programs of this machine that busybox has in a smaller form: its setpriv changes no user.
const TOOLS: &[&str] = &["setpriv"];

/// A packed file system, to which a command is added.
#[derive(Debug)]
pub(super) struct Image {
    packed: PathBuf,
}

impl Image {
    /// Packs the first process, busybox, the kernel's modules and a program.
    pub(super) fn pack(folder: &Path, name: &str, kernel: &Unpacked, program: &Path) -> Result<Self> {
        let root = folder.join(format!("{name}.root"));
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("could not remove {}", root.display()))?;
        }
        for part in ["bin", "usr/bin", "proc", "sys", "dev", "modules", "lib64"] {
            let part = root.join(part);
            fs::create_dir_all(&part).with_context(|| format!("could not create {}", part.display()))?;
        }
        let init = root.join("init");
        fs::write(&init, INIT.replace("ENDED", ENDED)).context("could not write the first process")?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).context("of the first process")?;
        let busybox = place::in_path("busybox").next().context("busybox-static is missing")?;
        copy(&busybox, &root.join("bin/busybox"))?;
        add_program(program, "bin/tcptrace", &root)?;
        for tool in TOOLS {
            // What needs one that is missing says so.
            if let Some(found) = place::in_path(tool).next() {
                add_program(&found, &format!("usr/bin/{tool}"), &root)?;
            }
        }
        let mut order = Vec::new();
        for module in &kernel.modules {
            let name = module.file_name().unwrap_or_default();
            copy(module, &root.join("modules").join(name))?;
            order.push(format!("{}\n", name.display()));
        }
        fs::write(root.join("modules/order"), order.concat())
            .context("could not write the order of modules")?;
        let packed = folder.join(format!("{name}.cpio"));
        pack(&root, &packed)?;
        Ok(Self { packed })
    }

    /// A copy of it with a command for the shell.
    pub(super) fn with_command(&self, name: &str, command: &str) -> Result<PathBuf> {
        let root = self.packed.with_file_name(format!("{name}.command"));
        fs::create_dir_all(&root).with_context(|| format!("could not create {}", root.display()))?;
        fs::write(root.join("command"), format!("{command}\n")).context("could not write a command")?;
        let added = self.packed.with_file_name(format!("{name}.added"));
        pack(&root, &added)?;
        let initrd = self.packed.with_file_name(format!("{name}.initrd"));
        copy(&self.packed, &initrd)?;
        // The kernel unpacks one archive after the other.
        let mut file = File::options().append(true).open(&initrd).context("could not open an archive")?;
        let mut addition = File::open(&added).context("could not open an archive")?;
        io::copy(&mut addition, &mut file).context("could not join two archives")?;
        fs::remove_file(&added).context("could not remove an archive")?;
        fs::remove_dir_all(&root).with_context(|| format!("could not remove {}", root.display()))?;
        Ok(initrd)
    }
}

/// A program without its debug information, and the libraries it is linked to.
fn add_program(program: &Path, name: &str, root: &Path) -> Result<()> {
    let stripped = root.join(name);
    let mut strip = Command::new("strip");
    if !strip.arg("-o").arg(&stripped).arg(program).status().context("could not run strip")?.success() {
        bail!("could not strip {}", program.display());
    }
    let output = Command::new("ldd").arg(program).output().context("could not run ldd")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        let folder = to.parent().unwrap_or(root);
        fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        copy(Path::new(library), &to)?;
    }
    Ok(())
}

/// Packs a folder as the kernel takes it.
fn pack(root: &Path, into: &Path) -> Result<()> {
    let names = names_below(root)?;
    let list = into.with_extension("list");
    fs::write(&list, names.join("\n")).context("could not write the list of an archive")?;
    let output = File::create(into).with_context(|| format!("could not create {}", into.display()))?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet", "--owner=0:0"]).current_dir(root);
    let input = File::open(&list).context("could not read the list of an archive")?;
    let status = cpio.stdin(Stdio::from(input)).stdout(output).status().context("could not run cpio")?;
    if !status.success() {
        bail!("could not pack {}", root.display());
    }
    fs::remove_file(&list).context("could not remove the list of an archive")
}

/// Every file and folder, each after its own folder.
fn names_below(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries = fs::read_dir(&path).with_context(|| format!("could not read {}", path.display()))?;
        for entry in entries {
            let entry = entry.context("could not read a folder")?;
            let name = folder.join(entry.file_name());
            names.push(name.to_str().context("a name that is no text")?.to_owned());
            if entry.file_type().context("could not read what a file is")?.is_dir() {
                folders.push(name);
            }
        }
    }
    Ok(names)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    let name = from.file_name().unwrap_or(OsStr::new("?"));
    copied.map(drop).with_context(|| format!("could not copy {} to {}", name.display(), to.display()))
}
