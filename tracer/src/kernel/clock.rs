//! The kernel's clocks.

use crate::time::Time;
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

/// How wall time and boot time lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME` in nanoseconds.
    pub wall_minus_boot_ns: i64,
}

/// Now, in boot time; the beginning of time when the clock cannot be read, which no Linux does.
pub fn now() -> Time {
    Time(u64::try_from(read(ClockId::CLOCK_BOOTTIME).unwrap_or_default()).unwrap_or_default())
}

/// Compares both clocks: the best of a few readings, each between two of the other clock.
///
/// # Errors
/// When a clock cannot be read.
pub fn offset() -> Result<Offset> {
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..5 {
        let before = read(ClockId::CLOCK_BOOTTIME)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_BOOTTIME)?;
        let took = after - before;
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, wall - (before + took / 2)));
        }
    }
    let (_, wall_minus_boot_ns) = best.context("no clock was read")?;
    Ok(Offset { wall_minus_boot_ns })
}

/// Ticks a second of the kernel's timers, from one timeout told in ticks and in seconds.
pub fn hz_from(ticks: u64, seconds: u64) -> Option<u32> {
    let hz = ticks.checked_div(seconds).filter(|_| seconds != 0 && ticks.is_multiple_of(seconds))?;
    u32::try_from(hz).ok().filter(|hz| *hz > 0)
}

fn read(clock: ClockId) -> Result<i64> {
    let time = clock_gettime(clock).with_context(|| format!("reading {clock}"))?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::{hz_from, now, offset};

    #[test]
    fn ticks_are_told_by_a_timeout() {
        assert_eq!(hz_from(15_000, 60), Some(250));
        assert_eq!(hz_from(60_000, 60), Some(1_000));
        assert_eq!(hz_from(15_001, 60), None);
        assert_eq!(hz_from(0, 60), None);
        assert_eq!(hz_from(250, 0), None);
    }

    #[test]
    fn the_clocks_are_read() {
        let first = now();
        assert!(first.0 > 0 && now() >= first);
        assert!(offset().expect("clocks").wall_minus_boot_ns > 0, "the wall clock is after 1970");
    }
}
