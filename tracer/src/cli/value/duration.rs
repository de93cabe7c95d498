//! Stretches of time: a decimal number and a unit.

use std::time::Duration;

/// Name, nanoseconds, and what people write for it.
const UNITS: &[(&str, u128, &[&str])] = &[
    ("ns", 1, &["nsec", "nanosecond", "nanoseconds"]),
    ("us", 1_000, &["µs", "usec", "microsecond", "microseconds"]),
    ("ms", 1_000_000, &["msec", "millisecond", "milliseconds"]),
    ("s", 1_000_000_000, &["sec", "secs", "second", "seconds"]),
    ("m", 60_000_000_000, &["min", "mins", "minute", "minutes"]),
    ("h", 3_600_000_000_000, &["hr", "hrs", "hour", "hours"]),
];

/// Digits after the point that can matter: an hour has fewer nanoseconds than 10¹⁴.
const FRACTION_DIGITS: usize = 18;

/// Reads `1.5s`, `250ms`: at most 584 years, to the nanosecond.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('-') {
        return Err(format!(
            "a time cannot be negative{}",
            super::meant(duration(rest).is_ok().then_some(rest))
        ));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || fraction.contains('.') {
        return Err(
            "expected a number with a unit (ns, us, ms, s, m, h), such as '1.5s' or '250ms'".to_owned()
        );
    }
    let Some((_, ns, _)) = UNITS.iter().find(|(name, ..)| *name == unit) else {
        return Err(wrong_unit(number, unit));
    };
    let total =
        total(whole, fraction, *ns).ok_or("a time of more than 584 years; the longest is '5124095h'")?;
    if total == 0 && number.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err("a time shorter than a nanosecond; did you mean '1ns'?".to_owned());
    }
    Ok(Duration::from_nanos(total))
}

/// Reads a stretch of time that is not zero.
pub(in crate::cli) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a time of zero; did you mean '1s'?".to_owned()),
        time => Ok(time),
    }
}

/// Nanoseconds; none when 64 bits do not hold them.
fn total(whole: &str, fraction: &str, unit: u128) -> Option<u64> {
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let scale = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let part: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    u64::try_from(whole.checked_mul(unit)?.checked_add(part * unit / scale)?).ok()
}

fn wrong_unit(number: &str, unit: &str) -> String {
    if unit.is_empty() {
        return format!("a time needs a unit; did you mean '{number}s'?");
    }
    let days =
        matches!(unit, "d" | "day" | "days").then(|| number.parse::<u64>().ok()?.checked_mul(24)).flatten();
    if let Some(hours) = days {
        return format!("days are no unit; did you mean '{hours}h'?");
    }
    let spellings =
        UNITS.iter().flat_map(|(name, _, others)| others.iter().chain([name]).map(move |s| (*s, *name)));
    let lower = unit.to_lowercase();
    let likeness = |spelling: &str| strsim::jaro_winkler(&lower, spelling);
    let nearest = spellings.max_by(|(a, _), (b, _)| likeness(a).total_cmp(&likeness(b)));
    let (_, nearest) = nearest.unwrap_or_default();
    format!("'{unit}' is no unit (ns, us, ms, s, m, h are); did you mean '{number}{nearest}'?")
}

#[cfg(test)]
mod tests {
    use super::{duration, positive_duration};
    use std::time::Duration;

    #[test]
    fn decimals_are_exact() {
        for (text, ns) in [
            ("1.5s", 1_500_000_000),
            ("250ms", 250_000_000),
            (".5s", 500_000_000),
            ("0.000000001s", 1),
            ("1.0000000001s", 1_000_000_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("7us", 7_000),
            ("0s", 0),
            ("18446744073709551615ns", u64::MAX),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, says) in [
            ("30", "'30s'"),
            ("30sec", "'30s'"),
            ("5min", "'5m'"),
            ("5M", "'5m'"),
            ("10µs", "'10us'"),
            ("2d", "'48h'"),
            ("-3s", "'3s'"),
            ("NaN", "such as"),
            ("inf", "such as"),
            ("1e3s", "did you mean"),
            ("1.2.3s", "such as"),
            ("", "such as"),
            (".s", "such as"),
            ("0.1ns", "'1ns'"),
            ("18446744073709551616ns", "584 years"),
            ("99999999999999999999999999999999999999999999h", "584 years"),
        ] {
            let error = duration(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(positive_duration("0ms").is_err());
        assert!(duration("5124095h").is_ok());
    }
}
