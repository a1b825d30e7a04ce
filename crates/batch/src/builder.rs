//! The writer of batches: each column grows as a byte string of its own, and they are joined at the end.

use bytes::Bytes;
use model::varint::{push_bytes, push_signed, push_unsigned};
use model::{Exemplar, FloatHistogram, LabelSet, MetricMetadata, SeriesRef};

use crate::reader::{
    RUN_DECLARED, RUN_REF, TIMES_EACH, TIMES_EQUAL, VERSION, VERSION_EXEMPLARS, VERSION_WIDE, WIDE_HISTOGRAM,
    WIDE_START, metric_type_code,
};

/// What the version, the counts and the lengths take at most.
const HEADER_BYTES_MAX: usize = 1 + 7 * 10;

/// Fills one batch. Bounded by its user, who looks at [`BatchBuilder::size_bytes`].
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    declared: Column,
    metadata: Column,
    /// Completed runs; the present one is in `run`.
    runs: Column,
    run: Run,
    slots: Vec<u8>,
    last_ref: u64,
    last_declared: u32,
    times: Vec<u8>,
    first_ms: i64,
    last_ms: i64,
    times_differ: bool,
    values: Vec<u8>,
    /// What samples have beyond a float.
    wide: Vec<u8>,
    /// The position behind the last sample in `wide`.
    wide_end: usize,
    last_start_ms: i64,
    exemplars: Vec<u8>,
    /// Of the exemplar pushed last.
    exemplar_series: Option<LabelSet>,
    exemplar_ms: i64,
}

#[derive(Clone, Debug, Default)]
struct Column {
    count: u64,
    bytes: Vec<u8>,
}

/// Consecutive samples whose series are all refs, or all declared.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    kind: u64,
    len: u64,
}

impl BatchBuilder {
    /// Returns an empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a series and returns its index in this batch. Declaring it without a sample is allowed; declaring the
    /// same labels twice costs only bytes.
    pub fn declare(&mut self, labels: &LabelSet) -> u32 {
        let index = self.declared.count as u32;
        push_bytes(&mut self.declared.bytes, labels.as_bytes());
        self.declared.count += 1;
        index
    }

    /// Appends a sample of a series that the shard knows by its ref.
    pub fn push_ref(&mut self, series: SeriesRef, time_ms: i64, value: f64) {
        let delta = series.0.wrapping_sub(self.last_ref) as i64;
        self.last_ref = series.0;
        self.push(RUN_REF, delta, time_ms, value);
    }

    /// Appends a sample of a series declared in this batch.
    ///
    /// # Panics
    /// When `index` was not returned by [`BatchBuilder::declare`] of this builder.
    pub fn push_declared(&mut self, index: u32, time_ms: i64, value: f64) {
        assert!(u64::from(index) < self.declared.count, "a sample's series is declared before it");
        let delta = i64::from(index) - i64::from(self.last_declared);
        self.last_declared = index;
        self.push(RUN_DECLARED, delta, time_ms, value);
    }

    /// Makes the sample pushed last a histogram, its value then has no meaning, or says since when it has been counting (ms,
    /// 0 for unknown), or both. At most once a sample.
    ///
    /// # Panics
    /// When there is no sample, and when the histogram is not [`FloatHistogram::is_storable`].
    pub fn widen_last(&mut self, start_ms: i64, histogram: Option<&FloatHistogram>) {
        let form =
            if start_ms == 0 { 0 } else { WIDE_START } | if histogram.is_some() { WIDE_HISTOGRAM } else { 0 };
        if form == 0 {
            return;
        }
        let position = self.samples() - 1;
        push_unsigned(&mut self.wide, (position - self.wide_end) as u64);
        self.wide_end = position + 1;
        self.wide.push(form);
        if start_ms != 0 {
            push_signed(&mut self.wide, start_ms.wrapping_sub(self.last_start_ms));
            self.last_start_ms = start_ms;
        }
        if let Some(histogram) = histogram {
            histogram.write_to(&mut self.wide);
        }
    }

    fn push(&mut self, kind: u64, delta: i64, time_ms: i64, value: f64) {
        if self.run.kind != kind {
            self.end_run();
            self.run.kind = kind;
        }
        self.run.len += 1;
        push_signed(&mut self.slots, delta);
        if self.values.is_empty() {
            self.first_ms = time_ms;
        }
        push_signed(&mut self.times, time_ms.wrapping_sub(self.last_ms));
        self.last_ms = time_ms;
        self.times_differ |= time_ms != self.first_ms;
        self.values.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn end_run(&mut self) {
        if self.run.len > 0 {
            push_unsigned(&mut self.runs.bytes, self.run.len << 1 | self.run.kind);
            self.runs.count += 1;
            self.run.len = 0;
        }
    }

    /// Adds what a metric family says of itself.
    pub fn push_metadata(&mut self, metadata: &MetricMetadata) {
        let out = &mut self.metadata.bytes;
        push_bytes(out, metadata.family.as_bytes());
        out.push(metric_type_code(metadata.metric_type));
        push_bytes(out, metadata.help.as_bytes());
        push_bytes(out, metadata.unit.as_bytes());
        self.metadata.count += 1;
    }

    /// Adds an exemplar of a series, which is not declared by this.
    ///
    /// # Panics
    /// When the series has no labels.
    pub fn push_exemplar(&mut self, series: &LabelSet, exemplar: &Exemplar) {
        assert!(!series.is_empty(), "an exemplar is of a series with labels");
        let is_same = self.exemplar_series.as_ref() == Some(series);
        push_bytes(&mut self.exemplars, if is_same { &[] } else { series.as_bytes() });
        push_signed(&mut self.exemplars, exemplar.time_ms.wrapping_sub(self.exemplar_ms));
        self.exemplars.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        push_bytes(&mut self.exemplars, exemplar.labels.as_bytes());
        self.exemplar_series = Some(series.clone());
        self.exemplar_ms = exemplar.time_ms;
    }

    /// Returns how many samples it holds.
    pub fn samples(&self) -> usize {
        self.values.len() / 8
    }

    /// Tells whether there is nothing in it: no sample, no declared series, no metadata, no exemplar.
    pub fn is_empty(&self) -> bool {
        let is_empty = self.values.is_empty() && self.declared.count == 0 && self.metadata.count == 0;
        is_empty && self.exemplars.is_empty()
    }

    /// Returns an upper bound of the batch's size.
    pub fn size_bytes(&self) -> usize {
        let columns = [
            &self.declared.bytes,
            &self.metadata.bytes,
            &self.runs.bytes,
            &self.slots,
            &self.wide,
            &self.exemplars,
            &self.times,
        ];
        let columns: usize = columns.iter().map(|column| column.len()).sum();
        HEADER_BYTES_MAX + columns + self.values.len() + 2 * 10
    }

    /// Returns the bytes of the batch.
    pub fn finish(mut self) -> Bytes {
        self.end_run();
        let mut out = Vec::with_capacity(self.size_bytes());
        let version = match (self.exemplars.is_empty(), self.wide.is_empty()) {
            (true, true) => VERSION,
            (true, false) => VERSION_WIDE,
            (false, _) => VERSION_EXEMPLARS,
        };
        out.push(version);
        push_unsigned(&mut out, self.declared.count);
        push_unsigned(&mut out, self.metadata.count);
        push_unsigned(&mut out, self.samples() as u64);
        push_unsigned(&mut out, self.runs.count);
        push_unsigned(&mut out, self.slots.len() as u64);
        if version != VERSION {
            push_unsigned(&mut out, self.wide.len() as u64);
        }
        if version == VERSION_EXEMPLARS {
            push_unsigned(&mut out, self.exemplars.len() as u64);
        }
        out.extend_from_slice(&self.declared.bytes);
        out.extend_from_slice(&self.metadata.bytes);
        out.extend_from_slice(&self.exemplars);
        out.extend_from_slice(&self.runs.bytes);
        out.extend_from_slice(&self.slots);
        out.extend_from_slice(&self.wide);
        if self.times_differ {
            out.push(TIMES_EACH);
            out.extend_from_slice(&self.times);
        } else {
            out.push(TIMES_EQUAL);
            push_signed(&mut out, self.first_ms);
        }
        out.extend_from_slice(&self.values);
        Bytes::from(out)
    }
}
