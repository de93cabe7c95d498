//! The kernel's clocks: what time it was when something happened, and how long a tick is.

use crate::time::Time;
use anyhow::{Context, Result, ensure};
use nix::time::{ClockId, clock_getres, clock_gettime};
use std::{fs, sync::OnceLock, time::Duration};

/// Wall and boot time that drift apart by more than this did so by a step; NTP moves both alike.
const STEP_NS: u64 = 10_000_000;
/// Readings made to find one that was not interrupted.
const READINGS: u32 = 8;
/// A reading as good as they get.
const GOOD: Duration = Duration::from_nanos(200);
/// Ticks per second that a kernel can be built with, all architectures.
const RATES: std::ops::RangeInclusive<u32> = 24..=10_000;

/// CPU time that the calling thread has used.
///
/// # Errors
/// When the kernel refuses, which none does.
pub fn own_cpu_time() -> Result<Duration> {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("reading this thread's CPU time")?;
    Ok(used.into())
}

/// Now, as the kernel and `bpf_ktime_get_boot_ns()` tell it: in a time namespace user space sees another boot time.
pub fn now() -> Time {
    static SHIFT_NS: OnceLock<i64> = OnceLock::new();
    let shift = SHIFT_NS.get_or_init(|| {
        // Absent without CONFIG_TIME_NS, and then nothing is shifted.
        fs::read_to_string("/proc/self/timens_offsets")
            .ok()
            .and_then(|text| boot_shift_ns(&text))
            .unwrap_or(0)
    });
    // No Linux since 2.6.39 lacks this clock.
    let seen = read_ns(ClockId::CLOCK_BOOTTIME).unwrap_or_default();
    Time(seen.saturating_add_signed(shift.saturating_neg()))
}

/// How wall time and boot time lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME` in nanoseconds.
    pub wall_minus_boot_ns: i64,
    /// The truth is at most this far.
    pub within: Duration,
    /// When that was so.
    pub at: Time,
}

/// Compares both clocks: the best of a few readings, each between two of the other clock.
///
/// # Errors
/// When the wall clock cannot be read.
pub fn offset() -> Result<Offset> {
    let mut best = Offset::reading()?;
    for _ in 1..READINGS {
        if best.within <= GOOD {
            break;
        }
        let other = Offset::reading()?;
        if other.within < best.within {
            best = other;
        }
    }
    Ok(best)
}

impl Offset {
    fn reading() -> Result<Self> {
        let before = now();
        let wall = read_ns(ClockId::CLOCK_REALTIME)?;
        let at = now();
        let half = at.since(before) / 2;
        let middle = before + half;
        let wall_minus_boot_ns = i64::try_from(i128::from(wall) - i128::from(middle.0)).unwrap_or(i64::MAX);
        // The half was rounded down.
        Ok(Self { wall_minus_boot_ns, within: half + Duration::from_nanos(1), at })
    }
}

/// The wall clock of boot times, which notices when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    offset: Offset,
    /// What was last told: small steps add up until they are one to tell.
    told_ns: i64,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When that was noticed.
    pub at: Time,
    /// Wall minus boot time before, in nanoseconds.
    pub old_ns: i64,
    /// And after.
    pub new_ns: i64,
}

impl WallClock {
    /// The wall clock as it is set now.
    ///
    /// # Errors
    /// As [`offset`].
    pub fn read() -> Result<Self> {
        let offset = offset()?;
        Ok(Self { offset, told_ns: offset.wall_minus_boot_ns })
    }

    /// Compares again, which costs less than a microsecond; tells a step of more than 10 ms.
    ///
    /// # Errors
    /// As [`offset`].
    pub fn read_again(&mut self) -> Result<Option<Step>> {
        Ok(self.adopt(offset()?))
    }

    /// Wall minus boot time, in nanoseconds.
    pub fn wall_minus_boot_ns(&self) -> i64 {
        self.offset.wall_minus_boot_ns
    }

    /// Keeps the old offset where the new one says nothing else: the same boot time shall stay the same wall time.
    fn adopt(&mut self, new: Offset) -> Option<Step> {
        let old = self.offset;
        let difference = Duration::from_nanos(old.wall_minus_boot_ns.abs_diff(new.wall_minus_boot_ns));
        if difference > old.within.saturating_add(new.within) {
            self.offset = new;
        } else {
            self.offset.within = old.within.min(new.within);
        }
        if new.wall_minus_boot_ns.abs_diff(self.told_ns) <= STEP_NS {
            return None;
        }
        let step = Step { at: new.at, old_ns: self.told_ns, new_ns: new.wall_minus_boot_ns };
        self.told_ns = new.wall_minus_boot_ns;
        Some(step)
    }
}

/// How many ticks a second has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickRate(u32);

impl TickRate {
    /// Of the kernel's jiffies, its `HZ`.
    ///
    /// The coarse clocks go by ticks and say so: `posix_get_coarse_res()`,
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/time/posix-timers.c>, tells `TICK_NSEC`.
    ///
    /// # Errors
    /// When that is not the length of a tick of any kernel.
    pub fn of_jiffies() -> Result<Self> {
        let tick =
            clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("asking for the length of a tick")?;
        Self::from_tick(tick.into())
    }

    /// Of times in `/proc/PID/stat`, `USER_HZ`.
    pub fn of_proc() -> Self {
        Self(u32::try_from(procfs::ticks_per_second()).unwrap_or(100))
    }

    fn from_tick(tick: Duration) -> Result<Self> {
        let tick_ns = u32::try_from(tick.as_nanos()).unwrap_or(0);
        let rate = 1_000_000_000_u32.saturating_add(tick_ns / 2).checked_div(tick_ns).unwrap_or(0);
        ensure!(RATES.contains(&rate), "a tick of {tick:?} cannot be");
        Ok(Self(rate))
    }

    /// Ticks a second.
    pub fn hz(self) -> u32 {
        self.0
    }

    /// How long so many ticks are.
    pub fn duration(self, ticks: u64) -> Duration {
        let rate = u64::from(self.0);
        // The rest is below the rate, so its nanoseconds are below one second.
        let rest_ns = u32::try_from(ticks % rate * 1_000_000_000 / rate).unwrap_or(0);
        Duration::new(ticks / rate, rest_ns)
    }

    /// How many ticks are full after this time.
    pub fn ticks(self, duration: Duration) -> u64 {
        let ticks = duration.as_nanos().saturating_mul(u128::from(self.0)) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// How long before `now` a time in 32 bits of jiffies (`tcp_jiffies32`) was: up to 49 days at 1,000 Hz; zero for
    /// one up to ten seconds ahead, which another CPU wrote after `now` was read.
    pub fn since(self, now: u32, then: u32) -> Duration {
        let ticks = now.wrapping_sub(then);
        let ahead = then.wrapping_sub(now) <= self.0.saturating_mul(10);
        if ahead { Duration::ZERO } else { self.duration(ticks.into()) }
    }
}

/// Ticks a second, from one time told both ways (`net.ipv4.tcp_fin_timeout` in the kernel's jiffies, and in seconds
/// by its sysctl); `None` when no kernel can tell it so.
pub fn hz_from(jiffies: u64, seconds: u64) -> Option<u32> {
    let rate = jiffies.checked_div(seconds).filter(|rate| rate * seconds == jiffies)?;
    u32::try_from(rate).ok().filter(|rate| RATES.contains(rate))
}

/// What a time namespace adds to the boot time: the line `boottime SECONDS NANOSECONDS`.
fn boot_shift_ns(offsets: &str) -> Option<i64> {
    let mut line = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?.split_whitespace();
    let mut number = || line.next()?.parse::<i64>().ok();
    number()?.checked_mul(1_000_000_000)?.checked_add(number()?)
}

fn read_ns(clock: ClockId) -> Result<u64> {
    let time: Duration = clock_gettime(clock).with_context(|| format!("reading {clock}"))?.into();
    u64::try_from(time.as_nanos()).with_context(|| format!("{clock} is beyond the year 2554"))
}

#[cfg(test)]
mod tests {
    use super::{Offset, STEP_NS, Step, TickRate, Time, WallClock, boot_shift_ns, hz_from, now, offset};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    fn reading(wall_minus_boot_ns: i64, within_ns: u64) -> Offset {
        Offset { wall_minus_boot_ns, within: Duration::from_nanos(within_ns), at: Time(7) }
    }

    fn clock(first: Offset) -> WallClock {
        WallClock { offset: first, told_ns: first.wall_minus_boot_ns }
    }

    #[test]
    fn the_wall_time_of_now_is_now() {
        let offset = offset().expect("clocks");
        let before = SystemTime::now();
        let told = i128::from(now().0) + i128::from(offset.wall_minus_boot_ns);
        let after = SystemTime::now();
        let ns = |time: SystemTime| {
            i128::try_from(time.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()).expect("this age")
        };
        assert!(offset.within < Duration::from_millis(1), "{offset:?}");
        let within = i128::try_from(offset.within.as_nanos()).expect("below a millisecond");
        assert!((ns(before) - within..=ns(after) + within).contains(&told), "{before:?} {told} {after:?}");
    }

    #[test]
    fn readings_within_their_error_change_nothing() {
        let mut clock = clock(reading(1_000, 300));
        assert_eq!(clock.adopt(reading(1_400, 100)), None);
        assert_eq!((clock.wall_minus_boot_ns(), clock.offset.within), (1_000, Duration::from_nanos(100)));
        assert_eq!(clock.adopt(reading(1_201, 100)), None);
        assert_eq!(clock.wall_minus_boot_ns(), 1_201);
    }

    #[test]
    fn a_step_is_told_once_and_small_ones_add_up() {
        let six_ms = 6_000_000;
        let mut clock = clock(reading(0, 50));
        assert_eq!(clock.adopt(reading(six_ms, 50)), None);
        assert_eq!(clock.wall_minus_boot_ns(), six_ms);
        let step = Step { at: Time(7), old_ns: 0, new_ns: 2 * six_ms };
        assert_eq!(clock.adopt(reading(2 * six_ms, 50)), Some(step));
        assert_eq!(clock.adopt(reading(2 * six_ms, 50)), None);
        let limit = i64::try_from(STEP_NS).expect("small");
        assert_eq!(clock.adopt(reading(2 * six_ms - limit, 50)), None);
        assert!(clock.adopt(reading(2 * six_ms - limit - 1, 50)).is_some());
    }

    #[test]
    fn the_length_of_a_tick_gives_the_rate() {
        for (tick_ns, rate) in
            [(10_000_000, 100), (4_000_000, 250), (3_333_333, 300), (1_000_000, 1_000), (976_563, 1_024)]
        {
            assert_eq!(TickRate::from_tick(Duration::from_nanos(tick_ns)).expect("a rate").hz(), rate);
        }
        for impossible in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX] {
            assert!(TickRate::from_tick(impossible).is_err(), "{impossible:?}");
        }
        let here = TickRate::of_jiffies().expect("this kernel has ticks");
        assert!([100, 250, 300, 1_000].contains(&here.hz()), "{here:?} is no choice of kernel/Kconfig.hz");
        assert_eq!(TickRate::of_proc().hz(), 100, "USER_HZ is part of the ABI");
    }

    #[test]
    fn one_time_told_twice_gives_the_rate() {
        assert_eq!(hz_from(15_000, 60), Some(250));
        assert_eq!(hz_from(60_000, 60), Some(1_000));
        for (jiffies, seconds) in [(0, 0), (15_000, 0), (15_001, 60), (60, 60), (0, 60), (u64::MAX, 1)] {
            assert_eq!(hz_from(jiffies, seconds), None, "{jiffies} {seconds}");
        }
    }

    #[test]
    fn ticks_become_durations_and_back() {
        let rate = TickRate(300);
        assert_eq!(rate.duration(301), Duration::new(1, 3_333_333));
        assert_eq!(rate.ticks(Duration::new(1, 3_333_334)), 301);
        assert_eq!(TickRate(250).duration(u64::MAX).as_secs(), u64::MAX / 250);
        assert_eq!(TickRate(1_000).ticks(Duration::MAX), u64::MAX);
    }

    #[test]
    fn ages_survive_the_wrap_of_32_bits() {
        let rate = TickRate(1_000);
        assert_eq!(rate.since(5, u32::MAX - 994), Duration::from_secs(1));
        assert_eq!(rate.since(5, 5), Duration::ZERO);
        assert_eq!(rate.since(5, 10_005), Duration::ZERO);
        assert_eq!(rate.since(5, 10_006), Duration::from_millis(u64::from(u32::MAX) - 10_000));
    }

    #[test]
    fn a_time_namespace_is_undone() {
        assert_eq!(boot_shift_ns("monotonic  5  1\nboottime  -3  500000000\n"), Some(-2_500_000_000));
        assert_eq!(boot_shift_ns("monotonic 5 1\n"), None);
    }
}
