//! Thresholds that a user sets.

use super::{duration, meant, nearest, positive};
use crate::pattern::{POLL_PERIOD, POLL_SHARE, Setting, Value, settings};
use std::time::Duration;

/// A threshold and its new value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The setting's key.
    pub key: &'static str,
    /// The value, of the setting's own kind.
    pub value: Value,
}

/// Reads `ID.KEY=VALUE`.
pub(in crate::cli) fn threshold(text: &str) -> Result<Threshold, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let Some(setting) = settings().find(|setting| setting.key == key) else {
        let nearest = nearest(key, settings().map(|setting| setting.key)).and_then(|near| {
            let setting = settings().find(|setting| setting.key == near)?;
            let value = if value.is_empty() { setting.default.to_string() } else { value.to_owned() };
            Some(format!("{near}={value}"))
        });
        return Err(format!("there is no such threshold{}", meant(nearest)));
    };
    if value.is_empty() {
        return Err(format!("the value is missing; did you mean '{key}={}'?", setting.default));
    }
    Ok(Threshold { key: setting.key, value: read(setting, value)? })
}

/// Reads a value of the kind that the setting has.
fn read(setting: &Setting, text: &str) -> Result<Value, String> {
    match setting.default {
        Value::Time(_) => {
            let time = duration(text)?;
            // What is looked at all the time leaves no time for anything else.
            if time == Duration::ZERO && setting.key == POLL_PERIOD.key {
                return Err(format!("it must be longer than zero; did you mean '{}'?", setting.default));
            }
            Ok(Value::Time(time))
        }
        Value::Count(_) => positive(text).map(Value::Count),
        Value::Share(_) => {
            let share = share(text)?;
            if share <= 0.0 && setting.key == POLL_SHARE.key {
                return Err(format!("it must be more than nothing; did you mean '{}'?", setting.default));
            }
            Ok(Value::Share(share))
        }
    }
}

/// Reads `5%`.
fn share(text: &str) -> Result<f64, String> {
    let expected = "expected a percentage from 0% to 100%, such as '5%'";
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let Some(number) = text.strip_suffix('%') else {
        let nearest = text.parse::<f64>().ok().filter(|_| plain(text)).filter(|number| *number <= 100.0);
        let percent = nearest.map(|number| if number <= 1.0 { number * 100.0 } else { number });
        return Err(format!("{expected}{}", meant(percent.map(|percent| format!("{percent}%")))));
    };
    match number.parse::<f64>() {
        Ok(percent) if plain(number) && percent <= 100.0 => Ok(percent / 100.0),
        Ok(_) if plain(number) => Err(format!("{expected}; did you mean '100%'?")),
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Threshold, read, threshold};
    use crate::pattern::{Setting, Value};
    use std::time::Duration;

    static SHARE: Setting = Setting { key: "x.share", default: Value::Share(0.05), meaning: "x" };
    static COUNT: Setting = Setting { key: "x.count", default: Value::Count(3), meaning: "x" };

    #[test]
    fn each_kind_is_read() {
        let set = Threshold { key: "close_wait_leak.after", value: Value::Time(Duration::from_secs(90)) };
        assert_eq!(threshold("close_wait_leak.after=1.5m"), Ok(set));
        assert_eq!(read(&SHARE, "2.5%"), Ok(Value::Share(0.025)));
        assert_eq!(read(&COUNT, "7"), Ok(Value::Count(7)));
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, says) in [
            ("close_wait_leak.aftr=5s", "'close_wait_leak.after=5s'"),
            ("close_wait_leak=5s", "'close_wait_leak.after=5s'"),
            ("join-hold=9ms", "'join.hold=9ms'"),
            ("join.hold", "'join.hold=50ms'"),
            ("join.hold=", "'join.hold=50ms'"),
            ("join.hold=50", "'50s'"),
            ("join.hold=-1s", "negative"),
            ("poll.period=0s", "'1s'"),
            ("", "there is no such threshold"),
        ] {
            let error = threshold(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        for (setting, text, says) in [
            (&SHARE, "0.05", "'5%'"),
            (&SHARE, "5", "'5%'"),
            (&SHARE, "120%", "'100%'"),
            (&SHARE, "NaN%", "such as"),
            (&SHARE, "-1%", "such as"),
            (&SHARE, "nan", "such as"),
            (&COUNT, "0", "'1'"),
            (&COUNT, "-2", "'2'"),
        ] {
            let error = read(setting, text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
