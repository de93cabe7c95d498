//! Packages of other releases of Debian: looked up and downloaded beside the machine's own package lists.

use super::{
    apt::{apt_get, extract},
    step,
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use xtask::place;

/// Which of Debian's archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    /// The main one.
    Main,
    /// That of the security team.
    Security,
}

impl Archive {
    /// The last part of its address.
    const fn ending(self) -> &'static str {
        match self {
            Self::Main => "/debian",
            Self::Security => "/debian-security",
        }
    }
}

/// Package lists of their own.
#[derive(Debug)]
pub(crate) struct Suites {
    folder: PathBuf,
}

impl Suites {
    /// Reads the package lists of these releases, from the mirrors that this machine uses.
    pub(super) fn read(suites: &[(Archive, &str)]) -> Result<Self> {
        let own = own_sources()?;
        let line = |(archive, suite): &(Archive, &str)| {
            let mirror = mirror_in(&own, *archive)
                .with_context(|| format!("no mirror of Debian ({}) is in use here", archive.ending()))?;
            Ok(format!("deb {mirror} {suite} main\n"))
        };
        let lines = suites.iter().map(line).collect::<Result<String>>()?;
        let name = suites.last().map_or("none", |(_, suite)| suite);
        let folder = place::tools().join("apt").join(name);
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("could not create {}", part.display()))?;
        }
        fs::write(folder.join("sources.list"), lines).context("could not write a list of sources")?;
        let suites = Self { folder };
        let name = format!("apt-get update for {}", suites.folder.file_name().unwrap_or_default().display());
        step(&name, suites.options(&mut apt_get()).arg("update"))?;
        Ok(suites)
    }

    /// The names of packages that match.
    pub(super) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let mut search = Command::new("apt-cache");
        self.options(&mut search).args(["search", "--names-only", pattern]).env("LC_ALL", "C");
        let output = search.stdin(Stdio::null()).output().context("could not run apt-cache")?;
        let lines = String::from_utf8_lossy(&output.stdout);
        Ok(lines.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect())
    }

    /// Downloads packages and unpacks them into a folder.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let debs = self.folder.join("deb");
        if debs.exists() {
            fs::remove_dir_all(&debs).with_context(|| format!("could not remove {}", debs.display()))?;
        }
        fs::create_dir_all(&debs).with_context(|| format!("could not create {}", debs.display()))?;
        let mut download = apt_get();
        self.options(&mut download).arg("download").args(packages).current_dir(&debs);
        step(&format!("apt-get download {}", packages.join(" ")), &mut download)?;
        fs::create_dir_all(into).with_context(|| format!("could not create {}", into.display()))?;
        extract(&debs, into)
    }

    fn options<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let set = |name: &str, path: &str| format!("{name}={}", self.folder.join(path).display());
        let options = [
            set("Dir::Etc::SourceList", "sources.list"),
            "Dir::Etc::SourceParts=-".to_owned(),
            set("Dir::State::Lists", "lists"),
            set("Dir::Cache", "cache"),
            // What is downloaded belongs to this user, not to apt's own.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        command.args(options.into_iter().flat_map(|option| ["-o".to_owned(), option]))
    }
}

/// The text of all of apt's own lists of sources.
fn own_sources() -> Result<String> {
    let mut text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        for part in parts {
            let path = part.context("could not read apt's lists of sources")?.path();
            text.push('\n');
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
    }
    Ok(text)
}

/// The address of an archive in lists of sources, of either form; that of the security team lies beside the main one.
fn mirror_in(sources: &str, archive: Archive) -> Option<String> {
    let lines = sources.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    let words: Vec<_> = words.map(|word| word.trim_end_matches('/')).collect();
    let ends = |ending: &str| words.iter().find(|word| word.ends_with(ending)).map(|word| (*word).to_owned());
    ends(archive.ending()).or_else(|| {
        (archive == Archive::Security).then(|| ends(Archive::Main.ending()))?.map(|main| main + "-security")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_machines_own() {
        let old = "# deb http://gone.example/debian x main\ndeb [signed-by=/k] http://a.example/debian/ bookworm main\n";
        assert_eq!(mirror_in(old, Archive::Main).as_deref(), Some("http://a.example/debian"));
        assert_eq!(mirror_in(old, Archive::Security).as_deref(), Some("http://a.example/debian-security"));
        let new = "Types: deb\nURIs: http://b.example/debian-security\nURIs: http://b.example/debian\n";
        assert_eq!(mirror_in(new, Archive::Main).as_deref(), Some("http://b.example/debian"));
        assert_eq!(mirror_in(new, Archive::Security).as_deref(), Some("http://b.example/debian-security"));
        assert_eq!(mirror_in("deb cdrom:[x] y main", Archive::Main), None);
    }
}
