//! One share of a CPU for looks that come again and again: what some do not need the others have.

use std::time::Duration;

/// A look that comes again though nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// At accept queues.
    Queues,
    /// At open sockets.
    Sockets,
    /// At the kernel's counters.
    Counters,
}

const LOOKS: [Look; 3] = [Look::Queues, Look::Sockets, Look::Counters];

/// What is known of the cost of looks.
pub(super) struct Shares {
    /// How much of a CPU they may take together.
    share: f64,
    /// How much each would take in its own period, as it was last; 0 before the first.
    wanted: [f64; LOOKS.len()],
}

impl Look {
    /// Findings come of the first two, so theirs is the larger part where there is not enough.
    fn weight(self) -> f64 {
        match self {
            Self::Queues | Self::Sockets => 2.0,
            Self::Counters => 1.0,
        }
    }
}

impl Shares {
    pub(super) fn new(share: f64) -> Self {
        Self { share, wanted: [0.0; LOOKS.len()] }
    }

    /// The time from the beginning of a look that has cost so much to that of the next one.
    pub(super) fn apart(&mut self, look: Look, period: Duration, cost: Duration) -> Duration {
        self.wanted[look as usize] = cost.as_secs_f64() / period.as_secs_f64();
        period.max(cost.div_f64(self.given(look)))
    }

    /// Likewise for a look that may take the whole share by itself, since what it is for does not wait: one that a finding or
    /// an event asks for, and that for namespaces, of which some end soon after they began.
    pub(super) fn apart_by_itself(&self, period: Duration, cost: Duration) -> Duration {
        period.max(cost.div_f64(self.share))
    }

    /// What a look may take of a CPU: those that want least have all they want, and leave the rest.
    fn given(&self, look: Look) -> f64 {
        let greed = |look: &Look| self.wanted[*look as usize] / look.weight();
        let mut looks = LOOKS;
        looks.sort_by(|one, other| greed(one).total_cmp(&greed(other)));
        let (mut left, mut weights) = (self.share, looks.map(Look::weight).iter().sum::<f64>());
        for one in looks.into_iter().take_while(|one| *one != look) {
            left -= self.wanted[one as usize].min(left * one.weight() / weights);
            weights -= one.weight();
        }
        left * look.weight() / weights
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS, Look, Shares};
    use std::time::Duration;

    const PERIODS: [u64; LOOKS.len()] = [1_000, 2_500, 10_000];

    /// How far apart looks are in the end that cost so many microseconds, and what they take of a CPU together.
    fn settled(costs: [u64; LOOKS.len()]) -> ([u64; LOOKS.len()], f64) {
        let mut shares = Shares::new(0.004);
        let mut apart = [Duration::ZERO; LOOKS.len()];
        for _ in 0..2 {
            for look in LOOKS {
                let period = Duration::from_millis(PERIODS[look as usize]);
                let cost = Duration::from_micros(costs[look as usize]);
                apart[look as usize] = shares.apart(look, period, cost);
            }
        }
        let taken = costs
            .iter()
            .zip(apart)
            .map(|(cost, apart)| Duration::from_micros(*cost).as_secs_f64() / apart.as_secs_f64())
            .sum();
        (apart.map(|apart| u64::try_from(apart.as_millis()).unwrap_or(u64::MAX)), taken)
    }

    #[test]
    fn what_costs_little_keeps_its_period() {
        assert_eq!(settled([40, 200, 1_000]).0, PERIODS);
        assert_eq!(settled([0; 3]).0, PERIODS);
    }

    #[test]
    fn what_costs_much_has_what_the_others_leave() {
        let (apart, taken) = settled([40, 84_000, 1_000]);
        assert_eq!([apart[0], apart[2]], [1_000, 10_000]);
        assert!((21_000..23_000).contains(&apart[1]), "{apart:?}");
        assert!(taken <= 0.004 + 1e-9, "{taken}");
    }

    #[test]
    fn all_that_cost_much_keep_to_one_share_together() {
        let (apart, taken) = settled([39_000, 100_000, 18_000]);
        assert!((0.0039..0.004 + 1e-9).contains(&taken), "{taken}");
        // The larger part is for what findings come of.
        let part = |look: Look, cost: f64| cost / Duration::from_millis(apart[look as usize]).as_secs_f64();
        assert!(part(Look::Queues, 39.0) > 1.9 * part(Look::Counters, 18.0), "{apart:?}");
        assert!((part(Look::Queues, 39.0) / part(Look::Sockets, 100.0) - 1.0).abs() < 0.01, "{apart:?}");
    }

    #[test]
    fn looks_without_a_period_take_their_part() {
        let mut shares = Shares::new(0.004);
        let apart = shares.apart(Look::Queues, Duration::ZERO, Duration::from_millis(4));
        assert_eq!(apart, Duration::from_secs(1));
    }

    #[test]
    fn a_look_by_itself_has_the_whole_share() {
        let mut shares = Shares::new(0.004);
        let cost = Duration::from_millis(4);
        shares.apart(Look::Sockets, cost, cost);
        assert_eq!(shares.apart_by_itself(Duration::ZERO, cost), Duration::from_secs(1));
        assert_eq!(shares.apart_by_itself(Duration::from_secs(2), cost), Duration::from_secs(2));
    }
}
