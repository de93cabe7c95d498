//! Points in time and how they are said.

use std::{fmt, ops::Add, ops::Sub, time::Duration};

/// A point in time: `CLOCK_BOOTTIME` in nanoseconds. The engine has no other clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The end of time: what is never due.
    pub const NEVER: Self = Self(u64::MAX);

    /// A time a record carries: 0 is "not seen".
    pub fn seen(ns: u64) -> Option<Self> {
        (ns != 0).then_some(Self(ns))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(later)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(earlier)))
    }
}

/// A duration in nanoseconds, at most what 64 bits hold (584 years).
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as a person says it: two significant digits or so, one unit.
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s < 1e-3 => write!(f, "{:.0} µs", s * 1e6),
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 100.0 => write!(f, "{s:.1} s"),
            s if s < 7_200.0 => write!(f, "{:.0} min", s / 60.0),
            s if s < 172_800.0 => write!(f, "{:.0} h", s / 3_600.0),
            s => write!(f, "{:.0} days", s / 86_400.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Spoken, Time};
    use std::time::Duration;

    #[test]
    fn durations_are_spoken_in_one_unit() {
        for (nanoseconds, said) in [
            (480, "0 µs"),
            (35_000, "35 µs"),
            (41_000_000, "41 ms"),
            (3_240_000_000, "3.2 s"),
            (720_000_000_000, "12 min"),
            (90_000_000_000_000, "25 h"),
        ] {
            assert_eq!(Spoken(Duration::from_nanos(nanoseconds)).to_string(), said);
        }
    }

    #[test]
    fn time_does_not_wrap() {
        assert_eq!(Time(5) - Duration::from_secs(1), Time(0));
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time(1).since(Time(2)), Duration::ZERO);
    }
}
