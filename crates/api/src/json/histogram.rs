//! A native histogram as JSON: count, sum, and the buckets that are not empty, from the lowest to the highest.
//!
//! A bucket is `[rule, "lower", "upper", "count"]`; the rule says which bounds belong to it: 0 the upper, 1 the lower,
//! 2 none, 3 both. Source: Prometheus `util/jsonutil/marshal.go` and `model/histogram/generic.go`.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::JsonWriter;

const UPPER_INCLUSIVE: i64 = 0;
const LOWER_INCLUSIVE: i64 = 1;
const OPEN: i64 = 2;
const BOTH_INCLUSIVE: i64 = 3;

pub(super) fn write_histogram(json: &mut JsonWriter, histogram: &FloatHistogram) {
    json.raw("{\"count\":");
    json.value(histogram.count);
    json.raw(",\"sum\":");
    json.value(histogram.sum);
    let buckets: Vec<Bucket> = histogram.buckets().filter(|bucket| bucket.count != 0.0).collect();
    if !buckets.is_empty() {
        json.raw(",\"buckets\":");
        json.array(&buckets, |json, bucket| {
            json.raw("[");
            json.integer(rule(bucket));
            for value in [bucket.lower, bucket.upper, bucket.count] {
                json.raw(",");
                json.value(value);
            }
            json.raw("]");
        });
    }
    json.raw("}");
}

fn rule(bucket: &Bucket) -> i64 {
    match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => UPPER_INCLUSIVE,
        (true, false) => LOWER_INCLUSIVE,
        (false, false) => OPEN,
        (true, true) => BOTH_INCLUSIVE,
    }
}

#[cfg(test)]
mod tests {
    use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

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
