//! From an answer's body to samples. CPU-bound: runs off the async threads.

use model::{Exemplar, MetricMetadata, stale_nan};
use scrape::{Entry, Format, Parser};
use session::{HandleExemplar, HandleSample, SeriesHandle};

use crate::ScraperError;
use crate::body;
use crate::fetch::Answer;
use crate::labelling::series_labels;
use crate::series_cache::{Known, SeriesCache};
use crate::target::Target;

/// What a scrape was like, also when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Samples in the answer.
    pub(crate) scraped: u64,
    /// Samples after metric relabeling.
    pub(crate) kept: u64,
    /// Series that the scrape before did not have.
    pub(crate) added: u64,
    /// Bytes of the body, its encoding undone.
    pub(crate) body_bytes: u64,
}

/// What there is to append.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) samples: Vec<HandleSample>,
    pub(crate) exemplars: Vec<HandleExemplar>,
    pub(crate) metadata: Vec<MetricMetadata>,
}

/// Turns an answer, or the lack of one, into samples and staleness markers.
///
/// A failed scrape appends nothing of its body: markers for everything that was current.
pub(crate) fn collect(
    answer: Result<Answer, ScraperError>,
    target: &Target,
    time_ms: i64,
    cache: &mut SeriesCache,
) -> (Collected, Counts, Result<(), ScraperError>) {
    cache.begin();
    let mut collected = Collected::default();
    let mut counts = Counts::default();
    let result = answer.and_then(|answer| read(answer, target, time_ms, cache, &mut collected, &mut counts));
    let vanished = match &result {
        Ok(()) => {
            collected.metadata = cache.changed_metadata();
            cache.end_good()
        }
        Err(_) => {
            collected = Collected::default();
            counts.added = 0;
            cache.end_bad()
        }
    };
    collected.samples.extend(markers(vanished, time_ms));
    (collected, counts, result)
}

/// Returns the samples that end series.
pub(crate) fn markers(series: Vec<SeriesHandle>, time_ms: i64) -> impl Iterator<Item = HandleSample> {
    series.into_iter().map(move |series| HandleSample::float(series, time_ms, stale_nan()))
}

fn read(
    answer: Answer,
    target: &Target,
    time_ms: i64,
    cache: &mut SeriesCache,
    collected: &mut Collected,
    counts: &mut Counts,
) -> Result<(), ScraperError> {
    let limit = body::limit_of(target.job.limits.body_size_bytes);
    let body = body::decode(answer.body, answer.encoding, limit)?;
    counts.body_bytes = body.len() as u64;
    let format = Format::of_content_type(&answer.content_type, target.job.fallback_scrape_protocol)
        .map_err(ScraperError::ContentType)?;
    let mut parser = Parser::new(format, &body);
    while let Some(entry) = parser.next_entry()? {
        match entry {
            Entry::Sample(sample) => {
                counts.scraped += 1;
                let own_time = sample.time_ms.filter(|_| target.job.honor_timestamps);
                let Some(series) =
                    series_of(&parser, sample.series, own_time.is_some(), target, cache, counts)?
                else {
                    continue;
                };
                counts.kept += 1;
                let time_ms = own_time.unwrap_or(time_ms);
                if let Some(exemplar) = parser.exemplar()
                    && cache.note_exemplar(sample.series, &exemplar)
                {
                    let time_ms = exemplar.time_ms.unwrap_or(time_ms);
                    let exemplar = Exemplar { labels: exemplar.labels, value: exemplar.value, time_ms };
                    collected.exemplars.push(HandleExemplar { series: series.clone(), exemplar });
                }
                collected.samples.push(HandleSample::float(series, time_ms, sample.value));
            }
            entry => note(entry, cache),
        }
    }
    let limit = target.job.limits.samples;
    if limit > 0 && counts.kept > limit { Err(ScraperError::SampleLimit) } else { Ok(()) }
}

/// Returns the series of a line, from the cache or by its labels.
fn series_of(
    parser: &Parser<'_>,
    line: &[u8],
    timed: bool,
    target: &Target,
    cache: &mut SeriesCache,
    counts: &mut Counts,
) -> Result<Option<SeriesHandle>, ScraperError> {
    match cache.touch(line, timed) {
        Some(Known::Series(series)) => return Ok(Some(series)),
        Some(Known::Dropped) => return Ok(None),
        None => {}
    }
    if let Some(name) = parser.repeated_label() {
        return Err(ScraperError::Labels(format!("label name {name:?} is not unique: invalid sample")));
    }
    let series = series_labels(parser.labels(), target)?.map(SeriesHandle::new);
    counts.added += u64::from(series.is_some());
    cache.insert(line, series.clone(), timed);
    Ok(series)
}

/// Notes what a family says of itself.
fn note(entry: Entry<'_>, cache: &mut SeriesCache) {
    match entry {
        Entry::Type { family, metric_type } => cache.note_metadata(family, |known| {
            std::mem::replace(&mut known.metric_type, metric_type) != metric_type
        }),
        Entry::Help { family, help } => {
            cache.note_metadata(family, |known| replace_text(&mut known.help, &help))
        }
        Entry::Unit { family, unit } => {
            cache.note_metadata(family, |known| replace_text(&mut known.unit, unit))
        }
        Entry::Comment | Entry::Sample(_) => {}
    }
}

fn replace_text(known: &mut String, text: &str) -> bool {
    if known == text {
        return false;
    }
    text.clone_into(known);
    true
}
