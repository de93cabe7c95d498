//! What the kernel says of this machine, and where its CPU time went.

use anyhow::{Context as _, Result};
use std::{fs, num::NonZero, thread, time::Duration};

/// The unit of `/proc/stat` and `/proc/PID/stat`: `USER_HZ` is 100 on every architecture tcptrace runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all CPUs since boot that was neither idle nor waiting for a disk.
pub(crate) fn busy() -> Result<Duration> {
    parse_busy(&read("/proc/stat")?).context("/proc/stat is not as expected")
}

/// user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user and nice.
fn parse_busy(stat: &str) -> Option<Duration> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let fields: Vec<u32> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = fields[..] else { return None };
    Some(TICK * (user + nice + system + irq + softirq + steal))
}

/// CPU time of the calling thread.
pub(crate) fn cpu_of_thread() -> Result<Duration> {
    // The kernel adds up when a thread leaves its CPU or a tick finds it there: any sleep brings the sum up to date.
    thread::sleep(Duration::from_nanos(1));
    on_cpu("/proc/thread-self/schedstat")
}

/// CPU time of all living threads of a process.
pub(crate) fn cpu_of_process(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).with_context(|| format!("looking into {folder}"))?;
    let times = threads.map(|thread| {
        let folder = thread?.path();
        // A thread may end at any time; what it used is then nobody's.
        on_cpu(&format!("{}/schedstat", folder.display()))
            .or_else(|error| if folder.try_exists()? { Err(error) } else { Ok(Duration::ZERO) })
    });
    times.sum()
}

/// The first number: nanoseconds on a CPU, from the scheduler's own clock, not from ticks.
fn on_cpu(path: &str) -> Result<Duration> {
    let text = read(path)?;
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    nanoseconds.map(Duration::from_nanos).with_context(|| format!("{path} is not as expected"))
}

/// CPU time of a process in user space, in ticks.
pub(crate) fn user_time(pid: u32) -> Result<Duration> {
    times(&format!("/proc/{pid}/stat")).map(|[user, ..]| user)
}

/// CPU time of a process, in ticks, and of its threads that have ended too.
pub(crate) fn time_of(pid: u32) -> Result<Duration> {
    times(&format!("/proc/{pid}/stat")).map(|[user, kernel, ..]| user + kernel)
}

/// Resident memory of a process, in millions of bytes.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    parse_resident(&read(&path)?).with_context(|| format!("{path} is not as expected"))
}

fn parse_resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(f64::from(kib) * 1_024.0 / 1e6)
}

/// CPU time of all children of this process that have ended and were waited for, in ticks.
pub(crate) fn cpu_of_children() -> Result<Duration> {
    times("/proc/self/stat").map(|[_, _, user, kernel]| user + kernel)
}

/// `utime`, `stime`, `cutime`, `cstime`.
fn times(path: &str) -> Result<[Duration; 4]> {
    parse_times(&read(path)?).with_context(|| format!("{path} is not as expected"))
}

/// The name may hold anything, so fields are counted from its closing bracket: `utime` is the 12th after it.
fn parse_times(stat: &str) -> Option<[Duration; 4]> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: Vec<u32> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let times: [u32; 4] = ticks.try_into().ok()?;
    Some(times.map(|ticks| TICK * ticks))
}

/// Number of CPUs.
pub(crate) fn cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The machine in one line: kernel, processor, CPUs.
pub(crate) fn describe() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let processor = field("model name").unwrap_or("an unknown processor");
    let guest = field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let place = if guest { ", in a virtual machine" } else { "" };
    format!("Linux {}, {} CPUs of {processor}{place}", kernel.trim(), cpus())
}

/// The load averages as the kernel prints them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Connections that found no room in TIME_WAIT since boot; 0 where the kernel does not say.
pub(crate) fn time_wait_overflows() -> u64 {
    fs::read_to_string("/proc/net/netstat").ok().and_then(|text| parse_overflows(&text)).unwrap_or_default()
}

fn parse_overflows(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?.split(' '), lines.next()?.split(' '));
    names.zip(values).find(|(name, _)| *name == "TCPTimeWaitOverflow")?.1.parse().ok()
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_not_busy() {
        let stat = "cpu  10 1 20 5000 300 2 3 4 9 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse_busy(stat), Some(Duration::from_millis(400)));
        assert_eq!(parse_busy("intr 1 2 3"), None);
    }

    #[test]
    fn counters_stand_below_their_names() {
        let netstat = "TcpExt: TW TCPTimeWaitOverflow X\nTcpExt: 1 7 3\nIpExt: A\nIpExt: 1\n";
        assert_eq!(parse_overflows(netstat), Some(7));
    }

    #[test]
    fn times_stand_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 200 0 0 5 6 7 8 20 0 1 0 9\n";
        assert_eq!(parse_times(stat), Some([5, 6, 7, 8].map(|ticks| TICK * ticks)));
        assert_eq!(parse_times("7 (a) S 1 7"), None);
    }

    #[test]
    fn memory_is_told_in_kib() -> Result<()> {
        assert_eq!(parse_resident("VmHWM:\t  9 kB\nVmRSS:\t   1000 kB\n"), Some(1.024));
        assert_eq!(parse_resident("VmHWM:\t  9 kB\n"), None);
        assert!(resident_mb(std::process::id())? > 0.0);
        Ok(())
    }

    #[test]
    fn this_process_has_used_time() -> Result<()> {
        assert!(cpu_of_thread()? > Duration::ZERO);
        let pid = std::process::id();
        assert!(cpu_of_process(pid)? >= cpu_of_thread()?.checked_div(2).unwrap_or_default());
        user_time(pid).map(drop)
    }
}
