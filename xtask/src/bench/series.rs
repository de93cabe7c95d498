//! Sums of a series of measurements.

/// The middle of a series and its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;

/// None of an empty series.
pub(crate) fn spread(series: &[f64]) -> Option<Spread> {
    let sorted = sorted(series.to_vec());
    Some(Spread { median: median(&sorted)?, least: *sorted.first()?, most: *sorted.last()? })
}

/// The 95 % bootstrap interval of the median: the middle 95 % of the medians of [`RESAMPLES`] series drawn from this
/// one with replacement. The same series gives the same interval. None of an empty series.
pub(crate) fn interval(series: &[f64]) -> Option<(f64, f64)> {
    let mut random = SplitMix(1);
    let resample = |_| {
        let drawn = series.iter().map(|_| series[random.below(series.len())]);
        median(&sorted(drawn.collect()))
    };
    let medians = sorted((0..RESAMPLES).map(resample).collect::<Option<_>>()?);
    let cut = RESAMPLES * 25 / 1000;
    Some((*medians.get(cut)?, *medians.get(RESAMPLES - 1 - cut)?))
}

/// The smallest value that at least this share of a series does not exceed. None of an empty series.
pub(crate) fn percentile(series: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(series.to_vec());
    let all = f64::from(u32::try_from(sorted.len()).ok()?);
    sorted.iter().zip(1_u32..).find(|(_, rank)| f64::from(*rank) >= all * share).map(|(value, _)| *value)
}

fn sorted(mut series: Vec<f64>) -> Vec<f64> {
    series.sort_by(f64::total_cmp);
    series
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

/// SplitMix64 (Steele, Lea and Flood 2014), which is random enough to draw with.
struct SplitMix(u64);

impl SplitMix {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper half, scaled: the product's upper word is below `end`.
        let scaled = u128::from(mixed ^ (mixed >> 31)) * end as u128;
        usize::try_from(scaled >> 64).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let even = spread(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(even, Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
        assert_eq!(spread(&[3.0, 1.0, 2.0]).map(|spread| spread.median), Some(2.0));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn a_percentile_is_a_value_of_the_series() {
        let series: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&series, 0.99), Some(198.0));
        assert_eq!(percentile(&series, 0.5), Some(100.0));
        assert_eq!(percentile(&series, 1.0), Some(200.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.99), None);
    }

    #[test]
    fn the_interval_holds_the_median_and_no_outlier() {
        let series: Vec<f64> = (0..40).map(f64::from).chain([1e9]).collect();
        let (low, high) = interval(&series).expect("the series is not empty");
        assert!(low < 20.0 && 20.0 < high, "{low} to {high}");
        assert!(10.0 < low && high < 30.0, "{low} to {high}");
        assert_eq!(interval(&[1.5; 9]), Some((1.5, 1.5)));
        assert_eq!(interval(&[]), None);
    }
}
