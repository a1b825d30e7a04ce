//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`.
//!
//! A histogram is a native one, or a classic one: series that differ in `le` only. Where both have the same labels at a step,
//! nobody knows which is meant, and there is no result. Read [`native`] and [`classic`] for the mathematics.

mod classic;
pub(super) mod native;
mod notes;

use std::collections::HashSet;

use model::FloatHistogram;
use storage::Reservation;

use self::classic::Bucket;
use self::notes::Said;
use super::label_ids::LabelIds;
use super::note::Note;
use super::quantile;
use super::vector::{ABSENT, Collisions, SeriesMeta, Vector, is_absent};
use super::{Context, Data};
use crate::ast::{NodeId, Span};
use crate::error::QueryError;
use crate::plan::Grid;

/// The label that holds a classic bucket's upper bound.
const BOUND_LABEL: &str = "le";

/// Where the samples of one histogram are.
struct Histogram {
    series: SeriesMeta,
    /// Bounds and rows of classic buckets, in order of the bound.
    classic: Vec<(f64, u32)>,
    /// The row of native histograms.
    native: Option<u32>,
}

/// A histogram at one step.
enum Sample<'a> {
    /// In order of distinct bounds.
    Classic(&'a mut [Bucket]),
    Native(&'a FloatHistogram),
}

impl Sample<'_> {
    fn quantile(self, q: f64) -> (f64, Option<Said>) {
        match self {
            Self::Classic(buckets) => {
                let mut raised = None;
                let value = classic::quantile(q, buckets, &mut raised);
                (value, raised.map(Said::Raised))
            }
            Self::Native(histogram) => {
                let (value, note) = native::quantile(q, histogram);
                (value, note.map(Said::Nan))
            }
        }
    }

    fn fraction(self, lower: f64, upper: f64) -> (f64, Option<Said>) {
        match self {
            Self::Classic(buckets) => (classic::fraction(lower, upper, buckets), None),
            Self::Native(histogram) => {
                let (value, note) = native::fraction(lower, upper, histogram);
                (value, note.map(Said::Nan))
            }
        }
    }
}

impl Context<'_> {
    pub(super) fn histogram_quantile(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let quantiles = self.take_quantile(args[0], grid, results);
        let input = self.take_vector(args[1], grid, results);
        let span = self.argument_span(args[1]);
        let mut vector =
            self.per_histogram(&input, span, grid, |step, sample| sample.quantile(quantiles[step]))?;
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    /// Evaluates `histogram_quantiles`: each quantile makes a series with a label that names it.
    pub(super) fn histogram_quantiles(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let input = self.take_vector(args[0], grid, results);
        let label = self.take_text(args[1], results);
        let label = std::str::from_utf8(&label).map_err(|_| {
            QueryError::Execution("histogram_quantiles() needs a label name in UTF-8".to_owned())
        })?;
        let span = self.argument_span(args[0]);
        let (mut vector, mut kept) = (Vector::new(input.steps), self.block_memory());
        for arg in &args[2..] {
            let quantiles = self.take_quantile(*arg, grid, results);
            let part =
                self.per_histogram(&input, span, grid, |step, sample| sample.quantile(quantiles[step]))?;
            self.push_labelled(&mut vector, &part, label, &quantiles, &mut kept)?;
        }
        self.keep_block(kept);
        vector.join_equal(Collisions::Merge)?;
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    pub(super) fn histogram_fraction(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let lower = self.take_scalar(args[0], grid, results);
        let upper = self.take_scalar(args[1], grid, results);
        let input = self.take_vector(args[2], grid, results);
        let span = self.argument_span(args[2]);
        let mut vector =
            self.per_histogram(&input, span, grid, |step, sample| sample.fraction(lower[step], upper[step]))?;
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    /// Appends rows, each once for every value that the quantile has, under a label that says it, after their bytes are
    /// reserved in `kept`.
    fn push_labelled(
        &self,
        vector: &mut Vector,
        part: &Vector,
        label: &str,
        quantiles: &[f64],
        kept: &mut Reservation,
    ) -> Result<(), QueryError> {
        let mut known = HashSet::new();
        for q in quantiles.iter().filter(|q| known.insert(q.to_bits())) {
            let text = model::float::format_open_metrics(*q);
            for (row, series) in part.series.iter().enumerate() {
                self.budget.check()?;
                kept.make_room(&mut vector.values, vector.steps)?;
                let mut labels = series.labels.to_builder();
                labels.set(label, &text);
                let series = SeriesMeta { labels: labels.build(), drop_name: series.drop_name };
                vector.push_cells(series, part, row, |step| quantiles[step].to_bits() == q.to_bits());
            }
        }
        Ok(())
    }

    fn take_quantile(&self, arg: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Vec<f64> {
        let quantiles = self.take_scalar(arg, grid, results);
        for q in quantiles.iter().filter(|q| quantile::is_unusual(**q)) {
            self.warn(self.argument_span(arg), quantile::warning(*q));
        }
        quantiles
    }

    /// Computes one row for each histogram, with its name.
    fn per_histogram(
        &self,
        input: &Vector,
        span: Span,
        grid: Grid,
        compute: impl Fn(usize, Sample<'_>) -> (f64, Option<Said>),
    ) -> Result<Vector, QueryError> {
        let mut vector = Vector::new(input.steps);
        let mut notes = notes::Notes::default();
        let mut row = vec![ABSENT; input.steps];
        for histogram in self.histograms(input, span) {
            self.budget.check()?;
            let name = histogram.series.labels.metric_name();
            // What is said is said of a series whose name is gone, unless names go late.
            let named = if self.config.delayed_name_removal { name } else { "" };
            let mut is_mixed = false;
            row.fill(ABSENT);
            histogram.each_step(input, |step, sample| {
                let Some(sample) = sample else {
                    is_mixed = true;
                    return;
                };
                let (value, said) = compute(step, sample);
                row[step] = value;
                if let Some(said) = said {
                    notes.add(named, said, grid.time(step));
                }
            });
            if is_mixed {
                self.note(span, Note::ClassicAndNative, name);
            }
            vector.push(histogram.series, &row);
        }
        notes.texts().into_iter().for_each(|text| self.info(span, text));
        Ok(vector)
    }

    /// Finds the histograms of a vector; floats without a readable bound are left out, with a warning.
    fn histograms(&self, input: &Vector, span: Span) -> Vec<Histogram> {
        let mut ids = LabelIds::default();
        let mut found: Vec<Histogram> = Vec::new();
        for (row, series) in input.series.iter().enumerate() {
            if input.row(row).iter().any(|value| !is_absent(*value)) {
                let (bound, name) = (series.labels.get(BOUND_LABEL), series.labels.metric_name());
                match model::float::parse(bound) {
                    Some(value) => {
                        let id = ids.project(&series.labels, |label| label != BOUND_LABEL);
                        entry(&mut found, id, series).classic.push((value, row as u32));
                    }
                    None => self.warn(span, notes::bad_bound(bound, name)),
                }
            }
            if input.cells(row).is_some() {
                let id = ids.id(&series.labels);
                entry(&mut found, id, series).native = Some(row as u32);
            }
        }
        for (histogram, labels) in found.iter_mut().zip(ids.into_sets()) {
            histogram.series.labels = labels;
            histogram.classic.sort_by(|a, b| quantile::nan_first(&a.0, &b.0));
        }
        found
    }
}

/// Returns the histogram of an id, whose labels are set later.
fn entry<'a>(found: &'a mut Vec<Histogram>, id: u32, series: &SeriesMeta) -> &'a mut Histogram {
    let index = id as usize;
    if index == found.len() {
        let series = SeriesMeta::new(model::LabelSet::empty());
        found.push(Histogram { series, classic: Vec::new(), native: None });
    }
    found[index].series.drop_name |= series.drop_name;
    &mut found[index]
}

impl Histogram {
    /// Calls `visit` for each step that has a sample; `None` where it has both a classic and a native one.
    fn each_step(&self, input: &Vector, mut visit: impl FnMut(usize, Option<Sample<'_>>)) {
        let native = self.native.and_then(|row| input.cells(row as usize));
        let mut buckets: Vec<Bucket> = Vec::with_capacity(self.classic.len());
        for step in 0..input.steps {
            buckets.clear();
            for (upper_bound, row) in &self.classic {
                let count = input.values[*row as usize * input.steps + step];
                if is_absent(count) {
                    continue;
                }
                match buckets.last_mut() {
                    Some(last) if last.upper_bound == *upper_bound => last.count += count,
                    _ => buckets.push(Bucket { upper_bound: *upper_bound, count }),
                }
            }
            match (native.and_then(|cells| cells[step].as_deref()), buckets.is_empty()) {
                (Some(_), false) => visit(step, None),
                (Some(histogram), true) => visit(step, Some(Sample::Native(histogram))),
                (None, false) => visit(step, Some(Sample::Classic(&mut buckets))),
                (None, true) => {}
            }
        }
    }
}
