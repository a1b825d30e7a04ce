//! Compaction: no empty buckets, no empty runs, no runs that touch.

use super::side::Side;
use super::{FloatHistogram, Span};

impl FloatHistogram {
    /// Removes empty buckets and joins runs that touch; without allocation when there is nothing to do.
    pub fn compact(&mut self) {
        self.compact_with(None);
    }

    /// Compacts; buckets that are empty but for their compensation stay.
    pub(super) fn compact_with(&mut self, mut lost: Option<&mut Self>) {
        self.positive_side(lost.as_deref_mut()).compact();
        self.negative_side(lost).compact();
    }
}

impl Side<'_> {
    fn compact(self) {
        if !is_compact(self.spans, self.counts) {
            self.rebuild(|index, count, lost| (count != 0.0 || lost != 0.0).then_some(index));
        }
    }
}

fn is_compact(spans: &[Span], counts: &[f64]) -> bool {
    let touching = |(position, span): (usize, &Span)| span.length == 0 || (position > 0 && span.offset <= 0);
    !counts.contains(&0.0)
        && !spans.iter().enumerate().any(touching)
        && (spans.is_empty() == counts.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(i32, u32)], counts: &[f64], expected_spans: &[(i32, u32)], expected: &[f64]) {
        let spans_of = |spans: &[(i32, u32)]| -> Vec<Span> {
            spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
        };
        let mut histogram = FloatHistogram {
            positive_spans: spans_of(spans),
            positive_buckets: counts.to_vec(),
            negative_spans: spans_of(spans),
            negative_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        };
        histogram.compact();
        assert_eq!(histogram.positive_spans, spans_of(expected_spans), "{spans:?} {counts:?}");
        assert_eq!(histogram.positive_buckets, expected, "{spans:?} {counts:?}");
        assert_eq!(histogram.negative_spans, histogram.positive_spans);
        assert_eq!(histogram.negative_buckets, histogram.positive_buckets);
        let once = histogram.clone();
        histogram.compact();
        assert_eq!(histogram, once);
    }

    #[test]
    fn what_is_empty_goes() {
        check(&[], &[], &[], &[]);
        check(&[(-2, 2)], &[1.0, 2.0], &[(-2, 2)], &[1.0, 2.0]);
        check(&[(0, 3)], &[0.0, 0.0, 0.0], &[], &[]);
        check(&[(3, 0), (2, 0)], &[], &[], &[]);
        check(&[(-1, 1), (0, 1), (2, 0), (3, 1)], &[1.0, 2.0, 3.0], &[(-1, 2), (5, 1)], &[1.0, 2.0, 3.0]);
        check(
            &[(1, 4), (1, 3)],
            &[0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0],
            &[(2, 1), (1, 1), (2, 1)],
            &[1.0, 2.0, 3.0],
        );
        check(&[(0, 2)], &[-0.0, -1.0], &[(1, 1)], &[-1.0]);
    }
}
