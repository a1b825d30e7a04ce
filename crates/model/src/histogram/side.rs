//! One side of a histogram while buckets are added to it, with or without compensation.

use super::layout::{Builder, Indexes};
use super::{FloatHistogram, Span};

/// The buckets of one side.
pub(super) struct Side<'a> {
    pub(super) spans: &'a mut Vec<Span>,
    pub(super) counts: &'a mut Vec<f64>,
    pub(super) lost: Option<Lost<'a>>,
}

/// What rounding took from the buckets of one side; its layout is that of the side.
pub(super) struct Lost<'a> {
    pub(super) spans: &'a mut Vec<Span>,
    pub(super) counts: &'a mut Vec<f64>,
}

impl FloatHistogram {
    pub(super) fn positive_side<'a>(&'a mut self, lost: Option<&'a mut Self>) -> Side<'a> {
        Side {
            spans: &mut self.positive_spans,
            counts: &mut self.positive_buckets,
            lost: lost
                .map(|lost| Lost { spans: &mut lost.positive_spans, counts: &mut lost.positive_buckets }),
        }
    }

    pub(super) fn negative_side<'a>(&'a mut self, lost: Option<&'a mut Self>) -> Side<'a> {
        Side {
            spans: &mut self.negative_spans,
            counts: &mut self.negative_buckets,
            lost: lost
                .map(|lost| Lost { spans: &mut lost.negative_spans, counts: &mut lost.negative_buckets }),
        }
    }
}

/// Adds a term to a number, and what rounding took to `lost`.
pub(super) fn accumulate(number: &mut f64, lost: Option<&mut f64>, term: f64) {
    let total = *number + term;
    if let Some(lost) = lost {
        if total.is_infinite() {
            *lost = 0.0;
        } else if number.abs() >= term.abs() {
            *lost += (*number - total) + term;
        } else {
            *lost += (term - total) + *number;
        }
    }
    *number = total;
}

impl Side<'_> {
    /// Tells whether buckets lie just where those of this side lie.
    pub(super) fn has_layout(&self, spans: &[Span], counts: &[f64]) -> bool {
        *self.spans == spans && self.counts.len() == counts.len()
    }

    /// Adds counts times `sign` that have the very layout of this side.
    pub(super) fn add_aligned(self, terms: &[f64], sign: f64) {
        match self.lost {
            None => self.counts.iter_mut().zip(terms).for_each(|(count, term)| *count += sign * term),
            Some(lost) => {
                let counts = self.counts.iter_mut().zip(lost.counts);
                counts
                    .zip(terms)
                    .for_each(|((count, lost), term)| accumulate(count, Some(lost), sign * term));
            }
        }
    }

    /// Adds buckets times `sign`; they come in ascending order, each index once.
    pub(super) fn add(mut self, terms: impl Iterator<Item = (i64, f64)> + Clone, sign: f64) {
        let terms = terms.map(|(index, count)| (index, sign * count));
        if self.covers(terms.clone()) {
            self.add_in_place(terms);
        } else {
            self.merge(terms);
        }
    }

    /// Tells whether there is a bucket for each of the terms.
    fn covers(&self, mut terms: impl Iterator<Item = (i64, f64)>) -> bool {
        let mut own = Indexes::new(self.spans, self.counts.len());
        terms.all(|(wanted, _)| {
            own.find(|(index, _)| *index >= wanted).is_some_and(|(index, _)| index == wanted)
        })
    }

    /// Adds terms that all have their bucket.
    fn add_in_place(&mut self, terms: impl Iterator<Item = (i64, f64)>) {
        let mut own = Indexes::new(self.spans, self.counts.len());
        for (wanted, term) in terms {
            if let Some((_, position)) = own.find(|(index, _)| *index == wanted) {
                let lost = self.lost.as_mut().and_then(|lost| lost.counts.get_mut(position));
                accumulate(&mut self.counts[position], lost, term);
            }
        }
    }

    /// Adds terms and makes the buckets that are missing.
    fn merge(self, terms: impl Iterator<Item = (i64, f64)>) {
        let mut built = Builder::with_capacity(self.counts.len() + terms.size_hint().1.unwrap_or(0));
        let mut built_lost = Vec::new();
        let keeps_lost = self.lost.is_some();
        let mut push = |index, count, lost| {
            built.push(index, count);
            if keeps_lost {
                built_lost.push(lost);
            }
        };
        let mut terms = terms.peekable();
        for (index, position) in Indexes::new(self.spans, self.counts.len()) {
            while let Some((before, term)) = terms.next_if(|(other, _)| *other < index) {
                push(before, term, 0.0);
            }
            let mut count = self.counts[position];
            let mut lost =
                self.lost.as_ref().and_then(|lost| lost.counts.get(position)).copied().unwrap_or(0.0);
            if let Some((_, term)) = terms.next_if(|(other, _)| *other == index) {
                accumulate(&mut count, keeps_lost.then_some(&mut lost), term);
            }
            push(index, count, lost);
        }
        terms.for_each(|(index, term)| push(index, term, 0.0));
        self.replace(built, built_lost);
    }

    /// Puts other buckets in place of what there is; `lost` has one number a bucket, or none if no compensation is kept.
    pub(super) fn replace(self, built: Builder, lost: Vec<f64>) {
        if let Some(own) = self.lost {
            own.spans.clone_from(&built.spans);
            *own.counts = lost;
        }
        *self.spans = built.spans;
        *self.counts = built.counts;
    }

    /// Rebuilds the side from those of its buckets that `target` gives an index to; it must never descend. Those with the
    /// same one are merged.
    pub(super) fn rebuild(self, target: impl Fn(i64, f64, f64) -> Option<i64>) {
        let mut built = Builder::with_capacity(self.counts.len());
        let mut built_lost: Vec<f64> = Vec::new();
        let mut last = None;
        for (index, position) in Indexes::new(self.spans, self.counts.len()) {
            let count = self.counts[position];
            let lost = self.lost.as_ref().and_then(|lost| lost.counts.get(position)).copied();
            let Some(index) = target(index, count, lost.unwrap_or(0.0)) else { continue };
            if last == Some(index) {
                let end = built.counts.len() - 1;
                accumulate(&mut built.counts[end], built_lost.last_mut(), count);
                if let (Some(sum), Some(lost)) = (built_lost.last_mut(), lost) {
                    *sum += lost;
                }
                continue;
            }
            built.push(index, count);
            built_lost.extend(lost);
            last = Some(index);
        }
        self.replace(built, built_lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(index, count)` as a histogram.
    fn histogram(buckets: &[(i64, f64)]) -> FloatHistogram {
        let mut built = Builder::default();
        buckets.iter().for_each(|(index, count)| built.push(*index, *count));
        FloatHistogram {
            positive_spans: built.spans,
            positive_buckets: built.counts,
            ..FloatHistogram::default()
        }
    }

    fn check(own: &[(i64, f64)], terms: &[(i64, f64)], expected: &[(i64, f64)]) {
        let mut sum = histogram(own);
        sum.positive_side(None).add(terms.iter().copied(), 1.0);
        assert_eq!(sum, histogram(expected), "{own:?} {terms:?}");
        let (mut sum, mut lost) = (histogram(own), histogram(own));
        lost.positive_buckets.fill(0.0);
        sum.positive_side(Some(&mut lost)).add(terms.iter().copied(), 1.0);
        assert_eq!(sum, histogram(expected), "{own:?} {terms:?}");
        assert_eq!(lost.positive_spans, sum.positive_spans);
        assert_eq!(lost.positive_buckets.len(), sum.positive_buckets.len());
    }

    #[test]
    fn missing_buckets_are_made() {
        check(&[], &[], &[]);
        check(&[], &[(-3, 1.0)], &[(-3, 1.0)]);
        check(&[(1, 1.0), (3, 2.0)], &[(1, 1.0), (3, 1.0)], &[(1, 2.0), (3, 3.0)]);
        check(&[(1, 1.0), (2, 2.0), (5, 1.0)], &[(2, 1.0)], &[(1, 1.0), (2, 3.0), (5, 1.0)]);
        check(
            &[(1, 1.0), (5, 1.0)],
            &[(-9, 4.0), (0, 5.0), (2, 6.0), (3, 7.0), (5, 1.0), (9, 8.0)],
            &[(-9, 4.0), (0, 5.0), (1, 1.0), (2, 6.0), (3, 7.0), (5, 2.0), (9, 8.0)],
        );
    }

    #[test]
    fn compensation_keeps_what_rounding_takes() {
        let (mut sum, mut lost) = (histogram(&[(0, 1e16)]), histogram(&[(0, 0.0)]));
        for _ in 0..3 {
            sum.positive_side(Some(&mut lost)).add([(0, 1.0)].into_iter(), 1.0);
        }
        assert_eq!(sum.positive_buckets[0] + lost.positive_buckets[0], 1e16 + 3.0);
    }
}
