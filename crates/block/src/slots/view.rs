//! What a query gets of slots: chunks like those of raw samples, made of one, two or three columns.

use chunk::{ChunkError, EncodedChunk};
use model::{Aggregate, Samples};

use super::Slots;
use crate::chunks::seal_chunks;
use crate::layout::Content;

/// Returns the columns that must be read of a downsampled block.
pub(crate) fn contents_of(aggregate: Aggregate) -> &'static [Content] {
    match aggregate {
        Aggregate::Last => &[Content::Last],
        Aggregate::Counter => &[Content::Last, Content::Counter],
        Aggregate::Resets => &[Content::Last, Content::Counter, Content::Resets],
        Aggregate::Count => &[Content::Count],
        Aggregate::Sum => &[Content::Sum],
        Aggregate::Average => &[Content::Sum, Content::Count],
        Aggregate::Min => &[Content::Min],
        Aggregate::Max => &[Content::Max],
    }
}

/// Makes what an aggregate is of the chunks of the columns that it needs. Those of one column are passed on as they are, and so are
/// both of a counter's: their points are at different times.
///
/// # Errors
/// [`ChunkError`] when a chunk that must be decoded is damaged.
pub(crate) fn view(
    aggregate: Aggregate,
    columns: Vec<(Content, Vec<EncodedChunk>)>,
) -> Result<Vec<EncodedChunk>, ChunkError> {
    if !matches!(aggregate, Aggregate::Resets | Aggregate::Count | Aggregate::Average) {
        let mut chunks: Vec<EncodedChunk> = columns.into_iter().flat_map(|(_, chunks)| chunks).collect();
        chunks.sort_by_key(|chunk| chunk.start_ms);
        return Ok(chunks);
    }
    let mut slots = Slots::default();
    for (content, chunks) in columns {
        chunk::read_merged(&chunks, i64::MIN, i64::MAX, slots.column_mut(content))?;
    }
    let samples = match aggregate {
        Aggregate::Resets => thinned(&slots),
        Aggregate::Count => with_hidden(slots.count.clone(), &slots.count, 1),
        _ => with_hidden(slots.sum, &slots.count, 1),
    };
    Ok(seal_chunks(&samples))
}

/// Returns the samples that a counter is thinned to, with the resets that they do not show.
pub(super) fn thinned(slots: &Slots) -> Samples {
    let Slots { last, counter, resets, .. } = slots;
    let mut places: Vec<(i64, &Samples, usize)> = Vec::with_capacity(last.len() + counter.len());
    for column in [last, counter] {
        places.extend(column.timestamps.iter().enumerate().map(|(at, time_ms)| (*time_ms, column, at)));
    }
    places.sort_by_key(|(time_ms, _, _)| *time_ms);
    let mut samples = Samples::default();
    for (time_ms, column, at) in places {
        samples.push_value(time_ms, 0, column.value(at));
    }
    with_hidden(samples, resets, 0)
}

/// Says of samples what a column counts at the same times, but for what shows.
fn with_hidden(mut samples: Samples, counts: &Samples, shown: u32) -> Samples {
    samples.hidden = vec![0; samples.len()];
    for (time_ms, count) in counts.timestamps.iter().zip(&counts.floats) {
        if let Ok(at) = samples.timestamps.binary_search(time_ms) {
            samples.hidden[at] = (*count as u32).saturating_sub(shown);
        }
    }
    samples
}
