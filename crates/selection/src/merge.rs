//! The series of many answers into those of one selector.

use std::sync::Arc;

use chunk::EncodedChunk;
use model::{ErrorKind, LabelSet, Matcher};
use storage::{Series, StorageError};

use crate::external::External;
use crate::source::ChunkSource;

/// Answers of more series are merged off the async threads.
const INLINE_SERIES_MAX: usize = 1000;

/// One series of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PartSeries {
    /// Its labels, without external labels.
    pub labels: LabelSet,
    /// Its encoded samples.
    pub chunks: Vec<EncodedChunk>,
}

impl PartSeries {
    /// What a selected series takes besides its labels and chunks.
    pub const OVERHEAD_BYTES: usize = size_of::<ChunkSource>() + size_of::<Series>();

    /// Returns what a series takes once it is selected.
    pub fn size_bytes(&self) -> u64 {
        let chunks: usize =
            self.chunks.iter().map(|chunk| chunk.data.len() + size_of::<EncodedChunk>()).sum();
        (self.labels.as_bytes().len() + chunks + Self::OVERHEAD_BYTES) as u64
    }
}

/// Merges answers, each sorted by labels, into the series of one selector: sorted, each label set once, external labels
/// attached, and only those that the selector means. Chunks of one series keep the order of the answers.
///
/// # Errors
/// `Internal` when the merge ended in a panic.
pub async fn merge_series(
    parts: Vec<Vec<PartSeries>>,
    external: &Arc<External>,
    matchers: &[Matcher],
) -> Result<Vec<Series>, StorageError> {
    if parts.iter().map(Vec::len).sum::<usize>() <= INLINE_SERIES_MAX {
        return Ok(merged(parts, external, matchers));
    }
    let (external, matchers) = (Arc::clone(external), matchers.to_vec());
    tokio::task::spawn_blocking(move || merged(parts, &external, &matchers)).await.map_err(|error| {
        StorageError::with_source(ErrorKind::Internal, format!("merging answers failed: {error}"), error)
    })
}

fn merged(parts: Vec<Vec<PartSeries>>, external: &External, matchers: &[Matcher]) -> Vec<Series> {
    let mut all: Vec<PartSeries> = parts.into_iter().flatten().collect();
    if !external.is_empty() {
        all.iter_mut().for_each(|series| series.labels = external.attach(&series.labels));
        if external.concerns(matchers) {
            all.retain(|series| External::accepts(matchers, &series.labels));
        }
    }
    // The standard sort finds the sorted runs that the answers are.
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged: Vec<PartSeries> = Vec::with_capacity(all.len());
    for series in all {
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
            _ => merged.push(series),
        }
    }
    let finish = |PartSeries { labels, chunks }: PartSeries| Series {
        labels: labels.clone(),
        samples: Arc::new(ChunkSource { labels, chunks }),
    };
    merged.into_iter().map(finish).collect()
}

#[cfg(test)]
mod tests {
    use model::TimeRange;
    use storage::Samples;

    use super::*;

    fn part(labels: &[(&str, &str)], times: &[i64]) -> PartSeries {
        let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
        PartSeries {
            labels: LabelSet::from_pairs(labels.iter().copied()),
            chunks: vec![chunk::encode(times, &values)],
        }
    }

    fn shown(series: &[Series]) -> Vec<(String, Vec<i64>)> {
        let read = |series: &Series| {
            let mut samples = Samples::default();
            series.samples.read(TimeRange::ALL, &mut samples).unwrap();
            (series.labels.to_string(), samples.timestamps)
        };
        series.iter().map(read).collect()
    }

    #[test]
    fn a_series_of_head_and_block_is_one() {
        let block = vec![part(&[("a", "1")], &[1, 2]), part(&[("a", "2")], &[1])];
        let head = vec![part(&[("a", "1")], &[3]), part(&[("a", "1"), ("b", "1")], &[3])];
        let series = merged(vec![block, head], &External::default(), &[]);
        let expected =
            [(r#"{a="1"}"#, vec![1, 2, 3]), (r#"{a="1", b="1"}"#, vec![3]), (r#"{a="2"}"#, vec![1])];
        assert_eq!(shown(&series), expected.map(|(labels, times)| (labels.to_owned(), times)));
    }

    #[test]
    fn external_labels_may_change_the_order_and_are_matched() {
        let external = External::new(&[("c".to_owned(), "x".to_owned())].into());
        let answer = vec![
            part(&[("a", "1")], &[1]),
            part(&[("a", "1"), ("b", "1")], &[1]),
            part(&[("a", "1"), ("c", "own")], &[1]),
        ];
        let series = merged(vec![answer.clone()], &external, &[]);
        let labels: Vec<_> = series.iter().map(|series| series.labels.to_string()).collect();
        assert_eq!(labels, [r#"{a="1", b="1", c="x"}"#, r#"{a="1", c="own"}"#, r#"{a="1", c="x"}"#]);
        let series = merged(vec![answer], &external, &[Matcher::equal("c", "own")]);
        assert_eq!(shown(&series), [(r#"{a="1", c="own"}"#.to_owned(), vec![1])]);
    }
}
