//! BPF programs that a process holds, and the run time that the kernel has measured of them.

use super::super::counts::Probe;
use anyhow::{Context as _, Result};
use std::{collections::BTreeMap, fs};

/// Those that ran, told by their descriptors.
pub(super) fn of_process(pid: u32) -> Result<Vec<Probe>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("looking into {folder}"))? {
        let path = entry.context("looking at a descriptor")?.path();
        // Another may have been closed meanwhile.
        let text = fs::read_to_string(path).unwrap_or_default();
        found.extend(program(&text));
    }
    Ok(found.into_values().filter(|program| program.runs > 0.0).collect())
}

/// One program by its number; several descriptors may be of the same.
fn program(fdinfo: &str) -> Option<(u32, Probe)> {
    let field = |name: &str| fdinfo.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let id: u32 = field("prog_id:")?.parse().ok()?;
    let number = |name| field(name)?.parse::<f64>().ok();
    Some((id, Probe { name: id.to_string(), runs: number("run_cnt:")?, ns: number("run_time_ns:")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_and_a_link_is_not() {
        let text = "pos:\t0\nflags:\t02000002\nprog_type:\t5\nprog_tag:\tc89482bf09319392\nmemlock:\t4096\n\
                    prog_id:\t7013\nrun_time_ns:\t1200\nrun_cnt:\t10\nrecursion_misses:\t0\n";
        let probe = Probe { name: "7013".to_owned(), runs: 10.0, ns: 1200.0 };
        assert_eq!(program(text), Some((7_013, probe)));
        assert_eq!(program("pos:\t0\nlink_type:\tperf\nlink_id:\t7388\nprog_id:\t7013\n"), None);
        assert_eq!(program("pos:\t0\nflags:\t02\n"), None);
    }
}
