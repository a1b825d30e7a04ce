//! Postings: the rows that have one label value, as runs of consecutive rows.
//!
//! ```text
//! run count | per run: gap << 1 | longer, and when longer: length - 2      (all base-128)
//! ```
//! The gap counts from the row after the previous run. Rows that sort by a label make one run of its value, so the list of
//! a metric name takes a few bytes; a scattered row takes one or two.

use std::ops::Range;

use model::varint::{self, Cursor, ReadError};

/// Collects rows in ascending order.
#[derive(Clone, Default)]
pub(super) struct PostingsWriter {
    closed: Vec<u8>,
    runs: u64,
    /// The run that may still grow; empty before the first row.
    open: Range<u32>,
    /// The row after the last closed run.
    closed_end: u32,
}

impl PostingsWriter {
    /// Adds a row; each is later than the one before.
    pub(super) fn push(&mut self, row: u32) {
        if self.open.is_empty() {
            self.open = row..row + 1;
        } else if self.open.end == row {
            self.open.end += 1;
        } else {
            self.close();
            self.open = row..row + 1;
        }
    }

    fn close(&mut self) {
        let (gap, length) = (u64::from(self.open.start - self.closed_end), self.open.end - self.open.start);
        varint::push_unsigned(&mut self.closed, gap << 1 | u64::from(length > 1));
        if length > 1 {
            varint::push_unsigned(&mut self.closed, u64::from(length - 2));
        }
        self.runs += 1;
        self.closed_end = self.open.end;
    }

    /// Appends the finished list.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if !self.open.is_empty() {
            self.close();
        }
        varint::push_unsigned(out, self.runs);
        out.extend_from_slice(&self.closed);
    }
}

/// Reads the list at the start of `bytes` and hands each run to `visit`; returns how many bytes the list takes.
///
/// # Errors
/// [`ReadError`] when the bytes end early or a run reaches beyond `rows`.
pub(super) fn for_each_run(
    bytes: &[u8],
    rows: u32,
    mut visit: impl FnMut(Range<u32>),
) -> Result<usize, ReadError> {
    let mut cursor = Cursor::new(bytes);
    let runs = cursor.unsigned()?;
    let mut end = 0u32;
    for _ in 0..runs {
        let fault = cursor.malformed("a run reaches beyond the last row");
        let head = cursor.unsigned()?;
        let length = if head & 1 == 1 { cursor.unsigned()?.checked_add(2).ok_or(fault)? } else { 1 };
        let start = u64::from(end).checked_add(head >> 1).ok_or(fault)?;
        let stop = start.checked_add(length).filter(|stop| *stop <= u64::from(rows)).ok_or(fault)?;
        end = stop as u32;
        visit(start as u32..end);
    }
    Ok(cursor.offset())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut writer = PostingsWriter::default();
        rows.into_iter().for_each(|row| writer.push(row));
        let mut bytes = Vec::new();
        writer.finish(&mut bytes);
        bytes
    }

    #[test]
    fn bytes_never_change() {
        assert_eq!(encode([]), [0]);
        assert_eq!(encode([0]), [1, 0]);
        assert_eq!(encode(5..105), [1, 5 << 1 | 1, 98]);
        assert_eq!(encode([1, 2, 7]), [2, 1 << 1 | 1, 0, 4 << 1]);
    }

    #[test]
    fn a_run_beyond_the_last_row_is_refused() {
        assert!(for_each_run(&encode([1, 2, 7]), 7, |_| ()).is_err());
        assert_eq!(for_each_run(&encode([1, 2, 7]), 8, |_| ()), Ok(4));
    }

    proptest! {
        #[test]
        fn lists_round_trip(rows in prop::collection::btree_set(0u32..300, 0..100)) {
            let mut read = Vec::new();
            let bytes = encode(rows.iter().copied());
            prop_assert_eq!(for_each_run(&bytes, 300, |run| read.extend(run)), Ok(bytes.len()));
            prop_assert_eq!(read, rows.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_refused_or_stay_within_the_rows(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut end = 0;
            let read = for_each_run(&bytes, 1000, |run| end = run.end);
            prop_assert!(read.is_err() || end <= 1000);
        }
    }
}
