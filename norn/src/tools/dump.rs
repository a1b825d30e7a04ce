//! `norn block dump`.
//!
//! A metric at a time is held, however large the block is. Of a downsampled block the last sample of each slot is printed.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use block::{BlockReader, BlockSeries, ObjectStoreConfig, ObjectStoreReader};
use model::float::format_plain;
use model::histogram::Span;
use model::labels::METRIC_NAME;
use model::{BlockId, BlockMeta, FloatHistogram, Matcher, Samples, TimeRange};
use serde_json::{Value, json};

use super::Stop;
use super::place::Place;
use crate::cli::{DumpFlags, Output};
use crate::fault::Fault;

const SERIES_FILE: &str = "series.parquet";
const CHUNKS_FILE: &str = "chunks.parquet";

pub(super) async fn run(flags: &DumpFlags, out: &mut dyn Write) -> Result<(), Stop> {
    let matchers = match &flags.selector {
        Some(selector) => promql::parse_selector(selector)
            .map_err(|error| Fault::usage(format!("--match {selector:?}: {error}")))?,
        None => Vec::new(),
    };
    let block = open(flags).await?;
    let mut left = if flags.limit == 0 { usize::MAX } else { flags.limit };
    let names = block.label_values(METRIC_NAME, std::slice::from_ref(&matchers), &TimeRange::ALL)?;
    // Series without a name come first.
    for metric in [""].into_iter().chain(names.iter()) {
        let named = Matcher::equal(METRIC_NAME, metric);
        let matchers: Vec<Matcher> = matchers.iter().cloned().chain([named]).collect();
        for series in block.select(&matchers, TimeRange::ALL, usize::MAX).await?.iter().take(left) {
            print_series(series, flags.output, out)?;
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Opens a block by its name or by its files.
async fn open(flags: &DumpFlags) -> Result<BlockReader, Stop> {
    if let Ok(id) = flags.block.parse::<BlockId>() {
        let place = Place::open(&flags.place).await?;
        return Ok(read(place.reader()?, place.block(id).await?).await?);
    }
    let given = Path::new(&flags.block);
    let dir = if given.is_dir() { given } else { given.parent().unwrap_or(given) };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let size = std::fs::metadata(dir.join(SERIES_FILE)).map_err(|error| {
        let path = dir.join(SERIES_FILE);
        Fault::usage(format!(
            "{}: {error}: give a block's id, one of its files, or their directory",
            path.display()
        ))
    })?;
    let dir = dir.canonicalize().map_err(|error| Fault::usage(format!("{}: {error}", dir.display())))?;
    let store = block::open_store(&ObjectStoreConfig::Local { dir })?;
    let reader = Arc::new(ObjectStoreReader::new(store));
    let meta = block::describe(&*reader, SERIES_FILE, CHUNKS_FILE, size.len()).await?;
    Ok(read(reader, meta).await?)
}

/// Opens a block; one that described itself says nothing of the checksum of `series.parquet`.
async fn read(reader: Arc<ObjectStoreReader>, mut meta: BlockMeta) -> Result<BlockReader, block::BlockError> {
    if meta.series_object.crc32c == 0 {
        block::sum_up(&*reader, &mut meta).await?;
    }
    BlockReader::open(reader, meta).await
}

fn print_series(series: &BlockSeries, output: Output, out: &mut dyn Write) -> Result<(), Stop> {
    let mut samples = Samples::default();
    chunk::read_merged(&series.chunks, i64::MIN, i64::MAX, &mut samples)
        .map_err(|error| Fault::failed(format!("{}: {error}", series.labels)))?;
    let values = (0..samples.len()).map(|at| (samples.timestamps[at], value(&samples, at)));
    match output {
        Output::Table => {
            writeln!(out, "{}", series.labels)?;
            for (time_ms, value) in values {
                match value {
                    Value::String(text) => writeln!(out, "  {time_ms} {text}")?,
                    histogram => writeln!(out, "  {time_ms} {histogram}")?,
                }
            }
        }
        Output::Json => {
            let labels: serde_json::Map<String, Value> =
                series.labels.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let samples: Vec<Value> = values.map(|(time_ms, value)| json!([time_ms, value])).collect();
            writeln!(out, "{}", json!({ "labels": labels, "samples": samples }))?;
        }
    }
    Ok(())
}

/// Returns a float as text, since JSON has no NaN, or a histogram as an object; `stale` for a staleness marker.
fn value(samples: &Samples, at: usize) -> Value {
    match samples.histogram(at) {
        Some(histogram) if histogram.is_stale() => "stale".into(),
        Some(histogram) => histogram_value(histogram),
        None if model::is_stale(samples.floats[at]) => "stale".into(),
        None => format_plain(samples.floats[at]).into(),
    }
}

fn histogram_value(histogram: &FloatHistogram) -> Value {
    let text = |value: f64| Value::from(format_plain(value));
    let texts = |values: &[f64]| values.iter().map(|value| text(*value)).collect::<Vec<_>>();
    let spans =
        |spans: &[Span]| spans.iter().map(|span| json!([span.offset, span.length])).collect::<Vec<_>>();
    json!({
        "count": text(histogram.count),
        "sum": text(histogram.sum),
        "schema": histogram.schema,
        "zero_threshold": text(histogram.zero_threshold),
        "zero_count": text(histogram.zero_count),
        "positive_spans": spans(&histogram.positive_spans),
        "positive_buckets": texts(&histogram.positive_buckets),
        "negative_spans": spans(&histogram.negative_spans),
        "negative_buckets": texts(&histogram.negative_buckets),
        "custom_bounds": texts(&histogram.custom_bounds),
    })
}
