//! One namespace's counters against what was seen there.

use crate::kernel::counted::Counted;
use tracer_common::reconcile::{Explained, KernelCounter, OVERFLOW_RESETS};

/// What a namespace's counters say, and what events say of it, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// By the kernel.
    pub counted: Counted,
    /// By the programs.
    pub explained: Explained,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// By how much the kernel's counter has risen.
    pub counted: u64,
    /// How many such events were seen.
    pub explained: u64,
    /// How many were not.
    pub unexplained: u64,
}

/// A namespace's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// By the index of the counter.
    pub counters: [Balance; KernelCounter::ALL.len()],
    /// Of the explained `AttemptFails`: those known by `EmbryonicRsts` alone.
    pub by_embryonic: u64,
    /// By how much `ListenOverflows` has risen.
    pub listen_overflows: u64,
    /// By how much `ListenDrops` has risen.
    pub listen_drops: u64,
    /// By how much `EmbryonicRsts` has risen.
    pub embryonic_resets: u64,
}

impl Balances {
    /// What happened between two readings.
    pub fn between(base: &Reading, now: &Reading) -> Self {
        let rise = |of: fn(&Counted) -> u64| of(&now.counted).saturating_sub(of(&base.counted));
        let seen = |index: usize| now.explained[index].saturating_sub(base.explained[index]);
        let mut balances = Self {
            listen_overflows: rise(|counted| counted.listen_overflows),
            listen_drops: rise(|counted| counted.listen_drops),
            embryonic_resets: rise(|counted| counted.embryonic_resets),
            ..Self::default()
        };
        let (before, after) = (base.counted.counters, now.counted.counters);
        for (index, balance) in balances.counters.iter_mut().enumerate() {
            let (counted, explained) = (after[index].saturating_sub(before[index]), seen(index));
            *balance = Balance { counted, explained, unexplained: counted.saturating_sub(explained) };
        }
        // A request that ends by a RST or a SYN, before its child is born, makes no event: `tcp_check_req()` raises
        // both counters. For a full accept queue it raises EmbryonicRsts alone, and that reset is seen.
        // <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_minisocks.c>
        let embryonic = balances.embryonic_resets.saturating_sub(seen(OVERFLOW_RESETS));
        let attempts = &mut balances.counters[KernelCounter::AttemptFails as usize];
        balances.by_embryonic = embryonic.min(attempts.unexplained);
        attempts.explained += balances.by_embryonic;
        attempts.unexplained -= balances.by_embryonic;
        balances
    }

    /// Adds those of another namespace.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.counters.iter_mut().zip(&other.counters) {
            own.counted += other.counted;
            own.explained += other.explained;
            own.unexplained += other.unexplained;
        }
        self.by_embryonic += other.by_embryonic;
        self.listen_overflows += other.listen_overflows;
        self.listen_drops += other.listen_drops;
        self.embryonic_resets += other.embryonic_resets;
    }

    /// How much is unexplained in all.
    pub fn unexplained(&self) -> u64 {
        self.counters.iter().map(|balance| balance.unexplained).sum()
    }

    /// Whether nothing was counted and nothing seen.
    pub fn is_quiet(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Balance, Balances, Reading};
    use tracer_common::reconcile::{KernelCounter, OVERFLOW_RESETS};

    fn reading(counted: &[(KernelCounter, u64)], explained: &[(usize, u64)], embryonic: u64) -> Reading {
        let mut reading = Reading::default();
        for (counter, count) in counted {
            reading.counted.counters[*counter as usize] = *count;
        }
        for (index, count) in explained {
            reading.explained[*index] = *count;
        }
        reading.counted.embryonic_resets = embryonic;
        reading
    }

    fn of(balances: &Balances, counter: KernelCounter) -> (u64, u64, u64) {
        let Balance { counted, explained, unexplained } = balances.counters[counter as usize];
        (counted, explained, unexplained)
    }

    #[test]
    fn what_was_before_does_not_count() {
        use KernelCounter::OutRsts;
        let base = reading(&[(OutRsts, 100)], &[(OutRsts as usize, 7)], 0);
        let now = reading(&[(OutRsts, 110)], &[(OutRsts as usize, 15)], 0);
        let balances = Balances::between(&base, &now);
        assert_eq!(of(&balances, OutRsts), (10, 8, 2));
        assert_eq!(balances.unexplained(), 2);
        assert!(Balances::between(&base, &base).is_quiet());
    }

    #[test]
    fn what_one_namespace_saw_too_much_pays_for_no_other() {
        use KernelCounter::OutRsts;
        let one = |counted, explained| {
            let now = reading(&[(OutRsts, counted)], &[(OutRsts as usize, explained)], 1);
            Balances::between(&Reading::default(), &now)
        };
        let mut sum = one(3, 5);
        sum.add(&one(7, 6));
        assert_eq!(of(&sum, OutRsts), (10, 11, 1));
        assert_eq!(sum.embryonic_resets, 2);
    }

    #[test]
    fn what_is_seen_before_it_is_counted_is_no_debt() {
        use KernelCounter::{EstabResets, OutRsts};
        let now = reading(&[(OutRsts, 1), (EstabResets, 3)], &[(OutRsts as usize, 2)], 0);
        let balances = Balances::between(&Reading::default(), &now);
        assert_eq!(of(&balances, OutRsts), (1, 2, 0));
        assert_eq!(balances.unexplained(), 3, "one counter does not pay for another");
    }

    #[test]
    fn a_request_that_was_reset_is_explained_by_the_counter_of_such() {
        use KernelCounter::AttemptFails;
        let attempts = |counted, seen, overflow, embryonic| {
            let explained = [(AttemptFails as usize, seen), (OVERFLOW_RESETS, overflow)];
            let now = reading(&[(AttemptFails, counted)], &explained, embryonic);
            let balances = Balances::between(&Reading::default(), &now);
            (of(&balances, AttemptFails), balances.by_embryonic)
        };
        assert_eq!(attempts(5, 3, 0, 2), ((5, 5, 0), 2));
        assert_eq!(attempts(5, 3, 0, 1), ((5, 4, 1), 1), "no more than were reset");
        assert_eq!(attempts(5, 5, 0, 2), ((5, 5, 0), 0), "no more than are missing");
        assert_eq!(attempts(3, 1, 2, 3), ((3, 2, 1), 1), "a full queue is no failed attempt");
    }
}
