//! A native histogram as JSON: count, sum, and the buckets that are not empty, from the lowest to the highest.
//!
//! A bucket is `[rule, "lower", "upper", "count"]`; the rule says which bounds belong to it: 0 the upper, 1 the lower,
//! 2 none, 3 both. Source: Prometheus `util/jsonutil/marshal.go` and `model/histogram/generic.go`.

use model::FloatHistogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

use super::JsonWriter;

const UPPER_INCLUSIVE: i64 = 0;
const LOWER_INCLUSIVE: i64 = 1;
const BOTH_INCLUSIVE: i64 = 3;
/// The exponent that `f64` no longer holds: the bucket before it ends at the largest float instead.
const EXPONENT_OVERFLOW: f64 = 1024.0;

struct Bucket {
    rule: i64,
    lower: f64,
    upper: f64,
    count: f64,
}

pub(super) fn write_histogram(json: &mut JsonWriter, histogram: &FloatHistogram) {
    json.raw("{\"count\":");
    json.value(histogram.count);
    json.raw(",\"sum\":");
    json.value(histogram.sum);
    let buckets = buckets(histogram);
    if !buckets.is_empty() {
        json.raw(",\"buckets\":");
        json.array(&buckets, |json, bucket| {
            json.raw("[");
            json.integer(bucket.rule);
            for value in [bucket.lower, bucket.upper, bucket.count] {
                json.raw(",");
                json.value(value);
            }
            json.raw("]");
        });
    }
    json.raw("}");
}

fn buckets(histogram: &FloatHistogram) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = indexed(&histogram.negative_spans, &histogram.negative_buckets)
        .map(|(index, count)| Bucket {
            rule: LOWER_INCLUSIVE,
            lower: -bound(histogram, index),
            upper: -bound(histogram, index - 1),
            count,
        })
        .collect();
    buckets.reverse();
    let (lower, upper) = (-histogram.zero_threshold, histogram.zero_threshold);
    buckets.push(Bucket { rule: BOTH_INCLUSIVE, lower, upper, count: histogram.zero_count });
    let is_custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    buckets.extend(indexed(&histogram.positive_spans, &histogram.positive_buckets).map(|(index, count)| {
        let rule = if is_custom && index == 0 { BOTH_INCLUSIVE } else { UPPER_INCLUSIVE };
        Bucket { rule, lower: bound(histogram, index - 1), upper: bound(histogram, index), count }
    }));
    buckets.retain(|bucket| bucket.count != 0.0);
    buckets
}

/// Yields each bucket's index and count.
fn indexed<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset);
        next = first.saturating_add_unsigned(span.length);
        first..next
    });
    indexes.zip(counts.iter().copied())
}

/// Returns the upper bound of a positive bucket.
fn bound(histogram: &FloatHistogram, index: i32) -> f64 {
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        let Ok(index) = usize::try_from(index) else { return f64::NEG_INFINITY };
        return histogram.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY);
    }
    let exponent = f64::from(index) * 2f64.powi(-histogram.schema);
    if exponent == EXPONENT_OVERFLOW { f64::MAX } else { exponent.exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(histogram: &FloatHistogram, expected: &str) {
        let mut json = JsonWriter::default();
        write_histogram(&mut json, histogram);
        assert_eq!(String::from_utf8(json.finish()).unwrap(), expected);
    }

    #[test]
    fn buckets_run_from_the_lowest_to_the_highest() {
        let span = |offset, length| Span { offset, length };
        check(
            &FloatHistogram {
                count: 12.0,
                sum: 5.5,
                zero_threshold: 0.001,
                zero_count: 2.0,
                positive_spans: vec![span(0, 2), span(1, 1)],
                positive_buckets: vec![1.0, 0.0, 3.0],
                negative_spans: vec![span(1, 2)],
                negative_buckets: vec![2.0, 4.0],
                ..FloatHistogram::default()
            },
            concat!(
                r#"{"count":"12","sum":"5.5","buckets":[[1,"-4","-2","4"],[1,"-2","-1","2"],"#,
                r#"[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"4","8","3"]]}"#
            ),
        );
        check(
            &FloatHistogram {
                count: 3.0,
                sum: 1.0,
                schema: CUSTOM_BUCKETS_SCHEMA,
                positive_spans: vec![span(0, 3)],
                positive_buckets: vec![1.0, 1.0, 1.0],
                custom_bounds: vec![5.0, 10.0],
                ..FloatHistogram::default()
            },
            r#"{"count":"3","sum":"1","buckets":[[3,"-Inf","5","1"],[0,"5","10","1"],[0,"10","+Inf","1"]]}"#,
        );
        check(&FloatHistogram::default(), r#"{"count":"0","sum":"0"}"#);
    }
}
