//! Wide chunks: native histograms, or floats with start timestamps. See "Wide" in `docs/formats/chunk.md`.
//!
//! A wide chunk holds samples of one kind, and histograms of one layout: schema, zero threshold, spans and custom bounds,
//! which it stores once. Staleness markers have no layout and fit into any chunk of histograms. Plain floats stay in the
//! narrow encodings, which know nothing of this one.
//!
//! Not here: how samples are split into runs that fit one chunk, which is `runs`.

mod open;
mod sealed;
mod starts;

pub use open::OpenWide;
pub(crate) use open::read_samples as read_open;
pub(crate) use sealed::{read_samples as read_sealed, write_samples};

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

/// The most cells in one chunk of histograms, over all its samples: what bounds the memory that a reader spends, about 8 MiB.
pub(crate) const CELLS_MAX: usize = 1 << 20;

/// Beside its buckets a histogram has these counts: all observations, the zero bucket, the sum.
pub(crate) const FIELDS: usize = 3;

/// The flag of a wide chunk's form that says what its samples are.
const FORM_HISTOGRAMS: u8 = 1;

/// What is stored of each histogram beside its counts: the hint in the low two bits, and this for a staleness marker.
const MARK_STALE: u8 = 0b100;

/// Returns how many cells each histogram of a layout takes: its counts, and its own copy of the layout.
pub(crate) fn cells_of(layout: &FloatHistogram, buckets: usize) -> usize {
    FIELDS + buckets + layout.positive_spans.len() + layout.negative_spans.len() + layout.custom_bounds.len()
}

/// Tells whether so many histograms with so many cells each fit into one chunk. One always does.
pub(crate) fn has_room(samples: usize, cells: usize) -> bool {
    samples <= 1 || samples.saturating_mul(cells) <= CELLS_MAX
}

/// Returns how many histograms, of which there is at least one, lie side by side, have one layout and fit into one chunk.
pub(crate) fn run_length(histograms: &[(u32, Arc<FloatHistogram>)]) -> usize {
    let first = histograms[0].0 as usize;
    let mut layout: Option<&FloatHistogram> = None;
    let mut cells = FIELDS;
    for (length, (at, histogram)) in histograms.iter().enumerate() {
        if !histogram.is_plain_stale() && layout.is_none() {
            layout = Some(histogram);
            cells = cells_of(histogram, histogram.buckets_len());
        }
        let fits =
            histogram.is_plain_stale() || layout.is_some_and(|layout| histogram.has_same_layout(layout));
        if *at as usize != first + length || !fits || !has_room(length + 1, cells) {
            return length;
        }
    }
    histograms.len()
}

/// Returns the mark of a histogram.
fn mark_of(histogram: &FloatHistogram) -> u8 {
    histogram.reset_hint.code() | if histogram.is_plain_stale() { MARK_STALE } else { 0 }
}

/// Returns the staleness marker that a mark stands for, if it does.
fn stale_of(mark: u8) -> Option<FloatHistogram> {
    let marker = FloatHistogram { reset_hint: CounterResetHint::of_code(mark), ..FloatHistogram::stale() };
    (mark & MARK_STALE != 0).then_some(marker)
}

/// Iterates over the counts of a histogram in the order in which they are stored.
fn counts(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    [histogram.count, histogram.zero_count, histogram.sum]
        .into_iter()
        .chain(histogram.positive_buckets.iter().copied())
        .chain(histogram.negative_buckets.iter().copied())
}

/// Makes a histogram of a layout from counts in the order in which they are stored.
fn histogram_of(
    layout: &FloatHistogram,
    mark: u8,
    counts: impl Iterator<Item = f64>,
    positive: usize,
) -> FloatHistogram {
    let mut counts: Vec<f64> = counts.collect();
    let sum = counts.remove(FIELDS - 1);
    let reset_hint = CounterResetHint::of_code(mark);
    FloatHistogram { reset_hint, sum, ..layout.clone().with_counts(counts, positive) }
}
