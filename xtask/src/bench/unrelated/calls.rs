//! System calls that do nothing, one after the other on one thread.

use crate::bench::{
    load::{DEADLINE, Load, Outcome},
    machine,
};
use anyhow::{Result, ensure};
use std::{hint::black_box, os::unix::process::parent_id, time::Instant};

/// Between two looks at the clock.
const STRETCH: u32 = 100_000;
const STRETCHES: u32 = 50;

pub(super) fn about() -> String {
    format!("{} calls of getppid() on one thread", STRETCH * STRETCHES)
}

/// getppid() is a system call each time: no C library remembers what it returns.
pub(super) struct Calls;

impl Load for Calls {
    fn run(&self) -> Result<Outcome> {
        let before = machine::cpu_of_thread()?;
        let begin = Instant::now();
        for _ in 0..STRETCHES {
            let mut left = STRETCH;
            // An iterator would cost as much as a call where xtask is built for debugging.
            while left > 0 {
                black_box(parent_id());
                left -= 1;
            }
            ensure!(begin.elapsed() < DEADLINE, "system calls take too long");
        }
        let took = begin.elapsed();
        let cpu = machine::cpu_of_thread()?.saturating_sub(before);
        Ok(Outcome { units: f64::from(STRETCH * STRETCHES), took, cpu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_call_takes_time() -> Result<()> {
        let outcome = Calls.run()?;
        assert!(outcome.took > Duration::from_millis(1) && outcome.cpu > Duration::ZERO);
        Ok(())
    }
}
