//! Kernels of other releases of Debian, to test on: unpacked, never installed.

use super::{
    suites::{Archive, Suites},
    unpack::{self, Package},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};
use xtask::place;

/// A line of kernels, of which the newest is taken.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The versions it begins with, and what it is called here.
    pub(crate) name: &'static str,
    /// Releases that have it: Debian's main archive, or that of its security team.
    suites: &'static [(Archive, &'static str)],
    /// Packages of one version, up to that: the first has the kernel, the last the modules.
    packages: &'static [&'static str],
    /// What people call it.
    pub(crate) title: &'static str,
    /// Whether every registry of Debian packages has it.
    pub(crate) always: bool,
}

/// The oldest with all that is needed, what is in wide use, and the newest.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel {
        name: "5.10",
        suites: &[(Archive::Main, "bullseye"), (Archive::Security, "bullseye-security")],
        packages: &["linux-image-"],
        title: "5.10",
        always: false,
    },
    Kernel {
        name: "6.1",
        suites: &[(Archive::Main, "bookworm"), (Archive::Security, "bookworm-security")],
        packages: &["linux-image-"],
        title: "6.1",
        always: true,
    },
    Kernel {
        name: "6.12",
        suites: &[(Archive::Main, "bookworm-backports"), (Archive::Security, "bookworm-security")],
        packages: &["linux-image-"],
        title: "6.12",
        always: true,
    },
    Kernel {
        name: "7",
        suites: &[(Archive::Main, "sid")],
        packages: &["linux-binary-", "linux-modules-"],
        title: "7.x",
        always: false,
    },
];

/// Small, without drivers of hardware, and with all of the network.
const FLAVOUR: &str = "-cloud-amd64";

/// What the lab and the tests need of a kernel that is not built in.
const MODULES: &[&str] = &[
    "veth",
    "tun",
    "tcp_diag",
    "nf_tables",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_chain_nat",
    "nft_nat",
];

/// A kernel that is here.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    /// Its own name, `6.1.0-56-cloud-amd64`.
    pub(crate) release: String,
    /// The image to boot.
    pub(crate) image: PathBuf,
    /// Modules to load, in this order.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The one called so.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        let names = || KERNELS.iter().map(|kernel| kernel.name).collect::<Vec<_>>().join(", ");
        KERNELS
            .iter()
            .find(|kernel| kernel.name == name)
            .with_context(|| format!("there is no kernel {name:?} to test on, only {}", names()))
    }

    /// Where it is kept.
    fn folder(&self) -> PathBuf {
        place::tools().join("kernels").join(self.name)
    }

    /// Fetches it unless it is here.
    pub(crate) fn fetch(&self) -> Result<Unpacked> {
        let folder = self.folder();
        if let Ok(found) = found_in(&folder) {
            return Ok(found);
        }
        if folder.exists() {
            // A run that was cut off has left a part.
            fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
        let suites = Suites::read(self.suites)?;
        let first = self.packages[0];
        let begin = format!("{first}{}.", self.name);
        let names = suites.names(&format!("^{begin}.*{FLAVOUR}$"))?;
        // Packages of one release that were built for an older one are another release's kernel.
        let own = |name: &&String| name.starts_with(&begin) && !name.contains(".deb");
        let newest = names.iter().filter(own).max_by_key(|name| numbers(name));
        let newest = newest.with_context(|| format!("the registry has no package {begin}*{FLAVOUR}"))?;
        let version = &newest[first.len()..];
        let packages = self.packages.iter().map(|package| format!("{package}{version}"));
        suites.unpack(&packages.collect::<Vec<_>>(), &folder)?;
        prepare(&folder)?;
        found_in(&folder)
    }
}

/// The numbers in a name, by which versions are ordered.
fn numbers(name: &str) -> Vec<u32> {
    name.trim_end_matches(FLAVOUR)
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Makes the list of modules, and leaves only what can be loaded.
fn prepare(folder: &Path) -> Result<()> {
    let modules = modules_folder(folder)?;
    unpack::decompress(&modules)?;
    unpack::list_modules(folder, &release_of(&modules)?)
}

fn found_in(folder: &Path) -> Result<Unpacked> {
    let modules = modules_folder(folder)?;
    let release = release_of(&modules)?;
    let images = [folder.join("boot"), modules.clone(), folder.join("usr/lib/modules").join(&release)];
    let names = [format!("vmlinuz-{release}"), "vmlinuz".to_owned()];
    let image = images.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
    let image = image.into_iter().find(|image| image.is_file()).context("the package has no kernel")?;
    let list = fs::read_to_string(modules.join("modules.dep")).context("there is no list of modules")?;
    let mut order = Vec::new();
    for name in MODULES {
        add(name, &list, &mut order);
    }
    let modules = order.into_iter().map(|path| modules.join(path)).collect();
    Ok(Unpacked { release, image, modules })
}

/// Adds a module after those it needs; what is built in has no file.
fn add(name: &str, list: &str, order: &mut Vec<String>) {
    let file = |path: &str| path.rsplit('/').next().unwrap_or(path).trim_end_matches(".ko").replace('-', "_");
    let lines = list.lines().filter_map(|line| line.split_once(':'));
    let Some((path, needed)) = lines.clone().find(|(path, _)| file(path) == name) else { return };
    for needed in needed.split_whitespace() {
        add(&file(needed), list, order);
    }
    if !order.iter().any(|other| other == path) {
        order.push(path.to_owned());
    }
}

fn modules_folder(folder: &Path) -> Result<PathBuf> {
    for place in ["lib/modules", "usr/lib/modules"] {
        let Ok(entries) = fs::read_dir(folder.join(place)) else { continue };
        for entry in entries {
            let path = entry.context("could not read a folder of modules")?.path();
            if path.join("kernel").is_dir() {
                return Ok(path);
            }
        }
    }
    bail!("{} has no modules", folder.display())
}

fn release_of(modules: &Path) -> Result<String> {
    let name = modules.file_name().and_then(|name| name.to_str());
    Ok(name.context("a folder of modules without a name")?.to_owned())
}

/// What building and booting a virtual machine needs.
pub(crate) const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", program: "qemu-system-x86_64" },
    Package { name: "busybox-static", program: "busybox" },
    Package { name: "cpio", program: "cpio" },
    Package { name: "xz-utils", program: "xz" },
    Package { name: "zstd", program: "zstd" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let of = |version: &str| numbers(&format!("linux-image-{version}{FLAVOUR}"));
        assert!(of("6.12.117+deb12") > of("6.12.95+deb12"));
        assert!(of("6.12.90+deb12.1") > of("6.12.90+deb12"));
        assert!(of("5.10.0-46") > of("5.10.0-9"));
    }

    #[test]
    fn a_module_comes_after_those_it_needs() {
        let list =
            "kernel/a/nft_x.ko: kernel/b/nf-y.ko kernel/z.ko\nkernel/b/nf-y.ko: kernel/z.ko\nkernel/z.ko:\n";
        let mut order = Vec::new();
        for name in ["nft_x", "z", "built_in"] {
            add(name, list, &mut order);
        }
        assert_eq!(order, ["kernel/z.ko", "kernel/b/nf-y.ko", "kernel/a/nft_x.ko"]);
    }
}
