//! A histogram as text, as PromQL's `count_values` and tables show it.

use std::fmt;

use super::FloatHistogram;
use super::buckets::Bucket;
use crate::float::format_general;

/// `{count:4, sum:9, [-2,-1):1, [-0.1,0.1]:2, (1,2]:1}`: populated buckets only, in ascending order.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_general(self.count), format_general(self.sum))?;
        let populated = |(_, count): &(i64, f64)| *count != 0.0;
        for (index, count) in self.negative().rev().filter(populated) {
            write!(f, ", {}", self.negative_bucket(index, count))?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for (index, count) in self.positive().filter(populated) {
            write!(f, ", {}", self.positive_bucket(index, count))?;
        }
        f.write_str("}")
    }
}

/// `(1,2]:3`: a round bracket leaves its bound out.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(format_general);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Span;

    #[test]
    fn populated_buckets_in_ascending_order() {
        let histogram = FloatHistogram {
            count: 1e7,
            sum: -0.5,
            zero_threshold: 0.001,
            zero_count: 2.5,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: vec![Span { offset: 1, length: 2 }],
            negative_buckets: vec![2.0, 4.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            histogram.to_string(),
            "{count:1e+07, sum:-0.5, [-4,-2):4, [-2,-1):2, [-0.001,0.001]:2.5, (0.5,1]:1, (2,4]:3}"
        );
        assert_eq!(FloatHistogram::default().to_string(), "{count:0, sum:0}");
    }
}
