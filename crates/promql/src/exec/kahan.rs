//! Sums that do not lose small terms: Neumaier's improvement of Kahan's summation, as Prometheus has it.

/// A running sum with its compensation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kahan {
    sum: f64,
    compensation: f64,
}

impl Kahan {
    pub(super) fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    pub(super) fn add(&mut self, term: f64) {
        let total = self.sum + term;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= term.abs() {
            self.compensation += (self.sum - total) + term;
        } else {
            self.compensation += (term - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        if !self.sum.is_infinite() {
            self.compensation += other.compensation;
        }
    }

    /// Returns sum and compensation, for [`Kahan::from_parts`].
    pub(super) fn parts(self) -> [f64; 2] {
        [self.sum, self.compensation]
    }

    pub(super) fn from_parts([sum, compensation]: [f64; 2]) -> Self {
        Self { sum, compensation }
    }

    /// Returns sum and compensation added, whatever they are.
    pub(super) fn raw(self) -> f64 {
        self.sum + self.compensation
    }

    pub(super) fn value(self) -> f64 {
        // An infinite sum has a compensation of zero, or NaN is right.
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

/// A running mean: sum over count, or, once the sum overflows, the mean itself term by term.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    kahan: Kahan,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(super) fn add(&mut self, term: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.kahan = Kahan::new(term);
            return;
        }
        if !self.incremental {
            let mut next = self.kahan;
            next.add(term);
            if !next.sum.is_infinite() {
                self.kahan = next;
                return;
            }
            self.incremental = true;
            self.kahan.sum /= self.count - 1.0;
            self.kahan.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.kahan.sum *= weight;
        self.kahan.compensation *= weight;
        self.kahan.add(term / self.count);
    }

    /// Adds the terms of another mean.
    pub(super) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        let mut sum = self.kahan;
        sum.merge(other.kahan);
        if self.incremental || other.incremental || sum.sum.is_infinite() {
            let share = |mean: &Self| {
                let divisor = if mean.incremental { 1.0 } else { mean.count };
                let weight = mean.count / count;
                let scaled = |term: f64| term / divisor * weight;
                Kahan { sum: scaled(mean.kahan.sum), compensation: scaled(mean.kahan.compensation) }
            };
            sum = share(self);
            sum.merge(share(&other));
            self.incremental = true;
        }
        (self.kahan, self.count) = (sum, count);
    }

    /// Returns sum, compensation, count, and 1 when the sum is a mean by now; for [`Mean::from_parts`].
    pub(super) fn parts(self) -> [f64; 4] {
        [self.kahan.sum, self.kahan.compensation, self.count, f64::from(u8::from(self.incremental))]
    }

    pub(super) fn from_parts([sum, compensation, count, incremental]: [f64; 4]) -> Self {
        Self { kahan: Kahan { sum, compensation }, count, incremental: incremental != 0.0 }
    }

    pub(super) fn value(self) -> f64 {
        if self.incremental {
            self.kahan.sum + self.kahan.compensation
        } else {
            self.kahan.sum / self.count + self.kahan.compensation / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        let mut sum = Kahan::new(1.0);
        for term in [1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn infinity_stays_and_opposites_are_nan() {
        let mut sum = Kahan::new(f64::INFINITY);
        sum.add(1.0);
        assert_eq!(sum.value(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.value().is_nan());
    }

    #[test]
    fn the_mean_survives_an_overflowing_sum() {
        let mut mean = Mean::default();
        for _ in 0..4 {
            mean.add(f64::MAX);
        }
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-12, "{}", mean.value());
    }

    #[test]
    fn merged_means_are_those_of_all_terms() {
        let mean = |terms: &[f64]| {
            let mut mean = Mean::default();
            terms.iter().for_each(|term| mean.add(*term));
            mean
        };
        for terms in
            [[1.0, 2.5, -7.0, 1e100, -1e100, 3.0], [f64::MAX; 6], [1.0, f64::INFINITY, 2.0, 3.0, 4.0, 5.0]]
        {
            for cut in 1..5 {
                let (mut merged, rest) = (mean(&terms[..cut]), mean(&terms[cut..]));
                merged.merge(Mean::from_parts(rest.parts()));
                let (merged, all) = (merged.value(), mean(&terms).value());
                assert!(
                    merged == all || (merged / all - 1.0).abs() < 1e-12,
                    "{terms:?} at {cut}: {merged} {all}"
                );
            }
        }
    }
}
