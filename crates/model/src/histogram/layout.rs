//! Runs of buckets: reading them as `(index, count)` in ascending order of the index, and building them.
//!
//! Indexes are `i64` here, so that no sum of offsets and lengths overflows. Spans and counts that do not fit together are
//! read as far as both go.

use std::ops::Range;

use super::Span;

/// The buckets of one side as `(index, position of the count)`, from both ends.
#[derive(Clone, Debug)]
pub(super) struct Indexes<'a> {
    spans: &'a [Span],
    /// Positions left to yield.
    positions: Range<usize>,
    front: Cursor,
    back: Cursor,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Position among the spans.
    span: usize,
    /// How many buckets of the span lie before the cursor.
    before: u32,
    /// The index of the bucket behind the cursor.
    index: i64,
}

impl<'a> Indexes<'a> {
    pub(super) fn new(spans: &'a [Span], counts: usize) -> Self {
        let (mut length, mut end) = (0, 0);
        for span in spans {
            length += u64::from(span.length);
            end += i64::from(span.offset) + i64::from(span.length);
        }
        let surplus = length.saturating_sub(counts as u64);
        let positions = 0..counts.min(usize::try_from(length).unwrap_or(usize::MAX));
        let front = Cursor { index: spans.first().map_or(0, |span| span.offset.into()), ..Cursor::default() };
        let last = spans.last().map_or(0, |span| span.length);
        let back = Cursor { span: spans.len().saturating_sub(1), before: last, index: end };
        let mut indexes = Self { spans, positions, front, back };
        indexes.skip_back(surplus);
        indexes
    }

    /// Moves the back past buckets that have no count.
    fn skip_back(&mut self, mut surplus: u64) {
        while surplus > 0 {
            let here = surplus.min(self.back.before.into());
            self.back.before -= here as u32;
            self.back.index -= here as i64;
            surplus -= here;
            if surplus > 0 {
                self.previous_span();
            }
        }
    }

    fn previous_span(&mut self) {
        self.back.index -= i64::from(self.spans[self.back.span].offset);
        self.back.span -= 1;
        self.back.before = self.spans[self.back.span].length;
    }
}

impl Iterator for Indexes<'_> {
    type Item = (i64, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;
        while self.front.before == self.spans[self.front.span].length {
            self.front.span += 1;
            self.front.before = 0;
            self.front.index += i64::from(self.spans[self.front.span].offset);
        }
        let index = self.front.index;
        self.front.index += 1;
        self.front.before += 1;
        Some((index, position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }
}

impl DoubleEndedIterator for Indexes<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let position = self.positions.next_back()?;
        while self.back.before == 0 {
            self.previous_span();
        }
        self.back.index -= 1;
        self.back.before -= 1;
        Some((self.back.index, position))
    }
}

/// The buckets of one side as `(index, count)`, from both ends.
#[derive(Clone, Debug)]
pub(super) struct Indexed<'a> {
    indexes: Indexes<'a>,
    counts: &'a [f64],
}

impl<'a> Indexed<'a> {
    pub(super) fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        Self { indexes: Indexes::new(spans, counts.len()), counts }
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i64, f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.indexes.next().map(|(index, position)| (index, self.counts[position]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }
}

impl DoubleEndedIterator for Indexed<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.indexes.next_back().map(|(index, position)| (index, self.counts[position]))
    }
}

/// Merges the buckets of a finer schema, `shift` schemas above the wanted one.
pub(super) fn coarser(
    buckets: impl Iterator<Item = (i64, f64)> + Clone,
    shift: u32,
) -> impl Iterator<Item = (i64, f64)> + Clone {
    merged(buckets.map(move |(index, count)| (coarser_index(index, shift), count)))
}

/// Merges neighbours that have the same index.
pub(super) fn merged(
    buckets: impl Iterator<Item = (i64, f64)> + Clone,
) -> impl Iterator<Item = (i64, f64)> + Clone {
    let mut buckets = buckets.peekable();
    std::iter::from_fn(move || {
        let (index, mut count) = buckets.next()?;
        while let Some((_, more)) = buckets.next_if(|(next, _)| *next == index) {
            count += more;
        }
        Some((index, count))
    })
}

/// Returns the bucket that a bucket of a finer schema lies in.
pub(super) fn coarser_index(index: i64, shift: u32) -> i64 {
    ((index - 1) >> shift.min(i64::BITS - 1)) + 1
}

/// Builds runs from buckets in ascending order of their index.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) spans: Vec<Span>,
    pub(super) counts: Vec<f64>,
    /// The index behind the last bucket.
    end: i64,
}

impl Builder {
    pub(super) fn with_capacity(buckets: usize) -> Self {
        Self { counts: Vec::with_capacity(buckets), ..Self::default() }
    }

    /// Appends a bucket; one that does not lie behind the last one is taken for the next.
    pub(super) fn push(&mut self, index: i64, count: f64) {
        let gap = if self.spans.is_empty() { index } else { (index - self.end).max(0) };
        match self.spans.last_mut() {
            Some(last) if gap == 0 => last.length += 1,
            _ => self
                .spans
                .push(Span { offset: gap.clamp(i32::MIN.into(), i32::MAX.into()) as i32, length: 1 }),
        }
        self.end = if self.counts.is_empty() { index } else { index.max(self.end) } + 1;
        self.counts.push(count);
    }
}

/// Tells whether two layouts have the same runs; runs of no buckets do not count.
pub(super) fn same_runs(a: &[Span], b: &[Span]) -> bool {
    a == b || runs(a).eq(runs(b))
}

fn runs(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> + '_ {
    let mut gap = 0;
    spans.iter().filter_map(move |span| {
        gap += i64::from(span.offset);
        (span.length > 0).then(|| (std::mem::take(&mut gap), span.length))
    })
}
