//! Sums of histograms as bytes: flags, count, total, and the compensation if there is one.

use model::FloatHistogram;
use model::varint::{Cursor, ReadError};

use super::Accumulated;
use crate::exec::partial::histogram;

/// The bits of the flags, from the lowest.
const FLAGS: u32 = 8;

impl Accumulated {
    fn flags(&self) -> [bool; FLAGS as usize] {
        let Self { incremental, reset, not_reset, reconciled, mixed, schemas, zeros, .. } = *self;
        [incremental, reset, not_reset, reconciled, mixed, schemas, zeros, self.lost.is_some()]
    }

    pub(in crate::exec) fn push(&self, out: &mut Vec<u8>) {
        out.push(self.flags().iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        out.extend_from_slice(&self.count.to_bits().to_le_bytes());
        histogram::push(out, &self.total);
        self.lost.iter().for_each(|lost| histogram::push(out, lost));
    }

    pub(in crate::exec) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let bits = cursor.byte()?;
        let is_set = |bit: u32| bits >> bit & 1 == 1;
        let count = f64::from_bits(cursor.word()?);
        let total = histogram::read(cursor)?;
        let lost = is_set(FLAGS - 1).then(|| histogram::read(cursor)).transpose()?.map(Box::new);
        if lost.as_ref().is_some_and(|lost| !same_layout(lost, &total)) {
            return Err(cursor.malformed("a compensation has another layout than its sum"));
        }
        Ok(Self {
            total,
            lost,
            count,
            incremental: is_set(0),
            reset: is_set(1),
            not_reset: is_set(2),
            reconciled: is_set(3),
            mixed: is_set(4),
            schemas: is_set(5),
            zeros: is_set(6),
        })
    }
}

fn same_layout(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.schema == b.schema
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_bounds.len() == b.custom_bounds.len()
}

#[cfg(test)]
mod tests {
    use model::histogram::{CounterResetHint, Span};

    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_cut() {
        let histogram = |sum| FloatHistogram {
            sum,
            count: 2.0,
            reset_hint: CounterResetHint::Reset,
            positive_buckets: vec![2.0],
            positive_spans: vec![Span { offset: 3, length: 1 }],
            ..FloatHistogram::default()
        };
        let mut sum = Accumulated::new(&histogram(0.1));
        for term in [1e100, 0.2] {
            assert!(!sum.add_to_mean(&histogram(term)));
        }
        let mut bytes = Vec::new();
        sum.push(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        let got = Accumulated::read(&mut cursor).expect("reads");
        assert!(cursor.is_at_end());
        assert_eq!((got.flags(), got.count), (sum.flags(), 3.0));
        assert_eq!((got.total, got.lost), (sum.total, sum.lost));
        for end in 0..bytes.len() {
            assert!(Accumulated::read(&mut Cursor::new(&bytes[..end])).is_err(), "cut at {end}");
        }
    }
}
