//! What the rules know of the host.

use super::{Setting, Value};
use hashbrown::HashMap;
use std::time::Duration;

/// What the rules know of the host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Settings that differ from their default, by key.
    pub settings: HashMap<&'static str, Value>,
    /// The running kernel's names of `enum sk_rst_reason`, without their prefix.
    pub reset_reasons: HashMap<i32, String>,
    /// Ticks a second of the kernel's timers; 0 when unknown.
    pub hz: u32,
}

impl Host {
    /// The value of a setting.
    pub fn value(&self, setting: &Setting) -> Value {
        self.settings.get(setting.key).copied().unwrap_or(setting.default)
    }

    /// The value of a setting that is a time.
    ///
    /// # Panics
    /// When the setting is none, which is a mistake in the catalogue.
    pub fn time(&self, setting: &Setting) -> Duration {
        match self.value(setting) {
            Value::Time(time) => time,
            other => panic!("{} is {other}, not a time", setting.key),
        }
    }

    /// The value of a setting that is a number of things.
    ///
    /// # Panics
    /// When the setting is none, which is a mistake in the catalogue.
    pub fn count(&self, setting: &Setting) -> u64 {
        match self.value(setting) {
            Value::Count(count) => count,
            other => panic!("{} is {other}, not a number", setting.key),
        }
    }

    /// The value of a setting that is a share.
    ///
    /// # Panics
    /// When the setting is none, which is a mistake in the catalogue.
    pub fn share(&self, setting: &Setting) -> f64 {
        match self.value(setting) {
            Value::Share(share) => share,
            other => panic!("{} is {other}, not a share", setting.key),
        }
    }

    /// The name of a reset's reason.
    pub fn reason(&self, number: Option<i32>) -> Option<&str> {
        number.and_then(|number| self.reset_reasons.get(&number)).map(String::as_str)
    }
}
