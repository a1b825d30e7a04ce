//! The reader of batches: checks everything before it returns anything.

use std::sync::Arc;

use model::varint::Cursor;
use model::{Exemplar, FloatHistogram, LabelSet, MetricMetadata, MetricType, SeriesRef};

use crate::BatchError;

/// The largest batch that is read: far above what writers gather (about 1 MiB), and what bounds a reader's memory.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Of batches whose samples are floats and no more.
pub(crate) const VERSION: u8 = 1;
/// Of those with histograms or start timestamps: they have one more column.
pub(crate) const VERSION_WIDE: u8 = 2;
/// Of those with exemplars: they have two more columns, the first of which may be empty.
pub(crate) const VERSION_EXEMPLARS: u8 = 3;
pub(crate) const WIDE_START: u8 = 1;
pub(crate) const WIDE_HISTOGRAM: u8 = 2;
pub(crate) const TIMES_EQUAL: u8 = 0;
pub(crate) const TIMES_EACH: u8 = 1;
pub(crate) const RUN_REF: u64 = 0;
pub(crate) const RUN_DECLARED: u64 = 1;

/// The bytes that each declared series, family, run and sample takes at least.
const DECLARED_BYTES_MIN: usize = 1;
const METADATA_BYTES_MIN: usize = 4;
const RUN_BYTES_MIN: usize = 1;
const SAMPLE_BYTES_MIN: usize = 9;
const VALUE_BYTES: usize = 8;

/// Metric types by their code in a batch. Codes are never given a second meaning.
const METRIC_TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

pub(crate) fn metric_type_code(metric_type: MetricType) -> u8 {
    let code = METRIC_TYPES.iter().position(|candidate| *candidate == metric_type);
    code.expect("every metric type has a code") as u8
}

/// How a sample names its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesSlot {
    /// By the ref that the shard gave it; the shard may not know it any more.
    Ref(SeriesRef),
    /// By its index among [`Batch::declared`], always in range.
    Declared(u32),
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchSample {
    /// Its series.
    pub series: SeriesSlot,
    /// Its time in ms.
    pub time_ms: i64,
    /// Its value, bit for bit as the writer pushed it.
    pub value: f64,
}

/// What a sample has beyond a float.
#[derive(Clone, Debug, PartialEq)]
pub struct WideSample {
    /// Its position among the samples.
    pub position: u32,
    /// Since when it has been counting (ms), 0 for unknown.
    pub start_ms: i64,
    /// The value; else it is the float of the sample.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchExemplar {
    /// The labels of its series, which may be unknown to the shard.
    pub series: LabelSet,
    /// The exemplar itself.
    pub exemplar: Exemplar,
}

/// A decoded batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    declared: Vec<LabelSet>,
    metadata: Vec<MetricMetadata>,
    samples: Vec<BatchSample>,
    wide: Vec<WideSample>,
    exemplars: Vec<BatchExemplar>,
}

impl Batch {
    /// Reads a batch.
    ///
    /// # Errors
    /// [`BatchError`] with the place when the bytes are not a batch that a [`crate::BatchBuilder`] could have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge { size_bytes: bytes.len(), max_bytes: BATCH_BYTES_MAX });
        }
        let mut cursor = Cursor::new(bytes);
        let columns = match cursor.byte()? {
            version @ (VERSION | VERSION_WIDE | VERSION_EXEMPLARS) => version,
            version => return Err(BatchError::UnknownVersion { version }),
        };
        let declared = cursor.count(DECLARED_BYTES_MIN)?;
        let metadata = cursor.count(METADATA_BYTES_MIN)?;
        let samples = cursor.count(SAMPLE_BYTES_MIN)?;
        let runs = cursor.count(RUN_BYTES_MIN)?;
        let slots_bytes = cursor.count(1)?;
        let wide_bytes = if columns >= VERSION_WIDE { cursor.count(1)? } else { 0 };
        let exemplars_bytes = if columns >= VERSION_EXEMPLARS { cursor.count(1)? } else { 0 };
        let declared = read_declared(&mut cursor, declared)?;
        let metadata = (0..metadata).map(|_| read_metadata(&mut cursor)).collect::<Result<_, _>>()?;
        let exemplars = read_exemplars(cursor.column(exemplars_bytes)?)?;
        let (samples, wide) =
            read_samples(&mut cursor, samples, runs, [slots_bytes, wide_bytes], declared.len())?;
        cursor.finish()?;
        Ok(Self { declared, metadata, samples, wide, exemplars })
    }

    /// Returns the declared series; a sample's [`SeriesSlot::Declared`] is an index into these.
    pub fn declared(&self) -> &[LabelSet] {
        &self.declared
    }

    /// Returns the samples in the order in which they were pushed.
    pub fn samples(&self) -> &[BatchSample] {
        &self.samples
    }

    /// Returns what samples have beyond a float, in the order of their positions; most batches have none.
    pub fn wide(&self) -> &[WideSample] {
        &self.wide
    }

    /// Returns the exemplars in the order in which they were pushed.
    pub fn exemplars(&self) -> &[BatchExemplar] {
        &self.exemplars
    }

    /// Returns what metric families say of themselves.
    pub fn metadata(&self) -> &[MetricMetadata] {
        &self.metadata
    }
}

fn read_declared(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<LabelSet>, BatchError> {
    (0..count)
        .map(|index| {
            let bytes = cursor.bytes()?;
            LabelSet::from_bytes(bytes).map_err(|source| BatchError::Labels { index, source })
        })
        .collect()
}

fn read_metadata(cursor: &mut Cursor<'_>) -> Result<MetricMetadata, BatchError> {
    let family = cursor.text()?.to_owned();
    let code = usize::from(cursor.byte()?);
    let metric_type =
        *METRIC_TYPES.get(code).ok_or_else(|| cursor.malformed("the type of a metric is unknown"))?;
    Ok(MetricMetadata {
        family,
        metric_type,
        help: cursor.text()?.to_owned(),
        unit: cursor.text()?.to_owned(),
    })
}

fn read_exemplars(mut column: Cursor<'_>) -> Result<Vec<BatchExemplar>, BatchError> {
    let (mut exemplars, mut time_ms) = (Vec::<BatchExemplar>::new(), 0i64);
    while !column.is_at_end() {
        let labels = |bytes, column: &Cursor<'_>| {
            LabelSet::from_bytes(bytes).map_err(|_| column.malformed("labels of an exemplar are invalid"))
        };
        let series = match column.bytes()? {
            [] => exemplars.last().map(|last| last.series.clone()),
            bytes => Some(labels(bytes, &column)?),
        };
        let series = series.ok_or_else(|| column.malformed("the first exemplar names no series"))?;
        time_ms = time_ms.wrapping_add(column.signed()?);
        let value = f64::from_bits(column.word()?);
        let labels = labels(column.bytes()?, &column)?;
        exemplars.push(BatchExemplar { series, exemplar: Exemplar { labels, value, time_ms } });
    }
    Ok(exemplars)
}

/// Reads the runs, then walks the columns in step. `bytes` are the lengths of the slots and of the wide column.
fn read_samples(
    cursor: &mut Cursor<'_>,
    samples: usize,
    runs: usize,
    [slots_bytes, wide_bytes]: [usize; 2],
    declared: usize,
) -> Result<(Vec<BatchSample>, Vec<WideSample>), BatchError> {
    let runs: Vec<u64> = (0..runs).map(|_| cursor.unsigned()).collect::<Result<_, _>>()?;
    let total = runs.iter().try_fold(0u64, |total, run| total.checked_add(run >> 1));
    if total != Some(samples as u64) || runs.iter().any(|run| run >> 1 == 0) {
        return Err(cursor.malformed("runs do not add up to the samples").into());
    }
    let slots = cursor.column(slots_bytes)?;
    let wide = read_wide(cursor.column(wide_bytes)?, samples)?;
    let times_are_equal = match cursor.byte()? {
        TIMES_EQUAL => true,
        TIMES_EACH => false,
        _ => return Err(cursor.malformed("the form of the timestamps is unknown").into()),
    };
    let times_bytes = cursor.remaining().checked_sub(samples * VALUE_BYTES);
    let times_bytes = times_bytes.ok_or_else(|| cursor.malformed("values are missing"))?;
    let mut times = cursor.column(times_bytes)?;
    let values = cursor.take(samples * VALUE_BYTES)?;
    if times_are_equal {
        let time_ms = times.signed()?;
        times.finish()?;
        Ok((read_rows(&runs, slots, declared, values, || Ok(time_ms))?, wide))
    } else {
        let mut time_ms = 0i64;
        let rows = read_rows(&runs, slots, declared, values, || {
            time_ms = time_ms.wrapping_add(times.signed()?);
            Ok(time_ms)
        })?;
        times.finish()?;
        Ok((rows, wide))
    }
}

fn read_wide(mut column: Cursor<'_>, samples: usize) -> Result<Vec<WideSample>, BatchError> {
    let (mut wide, mut next, mut last_start_ms) = (Vec::new(), 0u64, 0i64);
    while !column.is_at_end() {
        let position = next.checked_add(column.unsigned()?).filter(|position| *position < samples as u64);
        let position = position.ok_or_else(|| column.malformed("a histogram lies past the last sample"))?;
        next = position + 1;
        let form = column.byte()?;
        if form == 0 || form > WIDE_START | WIDE_HISTOGRAM {
            return Err(column.malformed("the form of a sample is unknown").into());
        }
        let mut start_ms = 0;
        if form & WIDE_START != 0 {
            last_start_ms = last_start_ms.wrapping_add(column.signed()?);
            start_ms = last_start_ms;
        }
        let histogram = if form & WIDE_HISTOGRAM == 0 {
            None
        } else {
            Some(Arc::new(FloatHistogram::read_from(&mut column)?))
        };
        wide.push(WideSample { position: position as u32, start_ms, histogram });
    }
    Ok(wide)
}

fn read_rows(
    runs: &[u64],
    mut slots: Cursor<'_>,
    declared: usize,
    values: &[u8],
    mut next_time: impl FnMut() -> Result<i64, BatchError>,
) -> Result<Vec<BatchSample>, BatchError> {
    let mut rows = Vec::with_capacity(values.len() / VALUE_BYTES);
    let mut values = values.chunks_exact(VALUE_BYTES);
    let (mut last_ref, mut last_declared) = (0u64, 0i64);
    for run in runs {
        let is_declared = run & 1 == RUN_DECLARED;
        for value in values.by_ref().take((run >> 1) as usize) {
            let delta = slots.signed()?;
            let series = if is_declared {
                last_declared = last_declared.wrapping_add(delta);
                let index = u32::try_from(last_declared).ok().filter(|index| (*index as usize) < declared);
                SeriesSlot::Declared(
                    index.ok_or_else(|| slots.malformed("a sample's series is not declared"))?,
                )
            } else {
                last_ref = last_ref.wrapping_add(delta as u64);
                SeriesSlot::Ref(SeriesRef(last_ref))
            };
            let value = u64::from_le_bytes(value.try_into().expect("a value has eight bytes"));
            rows.push(BatchSample { series, time_ms: next_time()?, value: f64::from_bits(value) });
        }
    }
    slots.finish()?;
    Ok(rows)
}
