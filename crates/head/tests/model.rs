//! The head against a naive model: maps of maps, and the rules written down a second time.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use batch::{BatchOutcome, Existing, RefusalKind};
use head::{Head, HeadConfig, HeadError};
use model::{BlockRange, LabelSet, SeriesRef, TimeRange};
use proptest::prelude::*;
use support::{KnownRefs, Op, code_of, config, histogram_of, labels, op, perform};

type Samples = BTreeMap<i64, u64>;
/// Series with their samples' times and bits, in order.
type Content = Vec<(LabelSet, Vec<(i64, u64)>)>;

struct Model {
    config: HeadConfig,
    series: BTreeMap<LabelSet, (SeriesRef, Samples)>,
    refs_ever: BTreeSet<SeriesRef>,
    sealed_until_ms: i64,
    dropped_until_ms: i64,
    newest_ms: i64,
    /// What readers leave out, and whoever writes the frozen window.
    deleted: Deleted,
    deleted_at_cut: Deleted,
}

/// Deleted ranges, both ends inclusive.
type Deleted = BTreeMap<SeriesRef, Vec<(i64, i64)>>;

fn is_in(deleted: &Deleted, series: SeriesRef, time_ms: i64) -> bool {
    deleted.get(&series).into_iter().flatten().any(|(start, end)| (*start..=*end).contains(&time_ms))
}

/// Returns what a head says of the sample that a number stands for.
fn existing(code: f64) -> Existing {
    if histogram_of(code).is_some() { Existing::Histogram } else { Existing::Float(code) }
}

impl Model {
    fn new(config: HeadConfig) -> Self {
        let (series, refs_ever) = (BTreeMap::new(), BTreeSet::new());
        let start = i64::MIN;
        Self {
            config,
            series,
            refs_ever,
            sealed_until_ms: start,
            dropped_until_ms: start,
            newest_ms: start,
            deleted: Deleted::new(),
            deleted_at_cut: Deleted::new(),
        }
    }

    /// Does what the head did and returns what the outcome must have been. The refs of new series are the head's to choose.
    fn append(
        &mut self,
        stamp_ms: i64,
        runs: &[support::Run],
        known: &KnownRefs,
        actual: &BatchOutcome,
    ) -> BatchOutcome {
        let mut expected = BatchOutcome::default();
        let by_ref = |run: &support::Run| known.get(&run.series).copied().filter(|_| run.by_ref);
        for run in runs.iter().filter(|run| by_ref(run).is_none()) {
            let position = expected.declared_refs.len();
            let chosen = actual.declared_refs[position];
            expected.declared_refs.push(self.declare(labels(run.series), chosen));
        }
        let (mut position, mut declared) = (0, 0);
        for run in runs {
            let series = by_ref(run).or_else(|| {
                declared += 1;
                expected.declared_refs[declared - 1]
            });
            for (time_ms, value) in run.samples() {
                match (series, self.append_one(stamp_ms, series, time_ms, value.to_bits())) {
                    (None, _) => expected.refuse(position, RefusalKind::OverLimit),
                    (_, None) => expected.unknown_samples.push(position),
                    (_, Some(Ok(true))) => expected.accepted += 1,
                    (_, Some(Ok(false))) => expected.duplicate += 1,
                    (_, Some(Err((_, Some(existing))))) => expected.conflict(position, existing),
                    (_, Some(Err((kind, None)))) => expected.refuse(position, kind),
                }
                position += 1;
            }
        }
        expected
    }

    fn declare(&mut self, labels: LabelSet, chosen: Option<SeriesRef>) -> Option<SeriesRef> {
        if let Some((series, _)) = self.series.get(&labels) {
            return Some(*series);
        }
        if self.series.len() as u64 >= self.config.series_max {
            return None;
        }
        let chosen = chosen.expect("there is room for the series");
        assert!(self.refs_ever.insert(chosen), "a ref is never used again");
        self.series.insert(labels, (chosen, Samples::new()));
        Some(chosen)
    }

    /// `None` for an unknown ref, true for accepted, false for duplicate.
    fn append_one(
        &mut self,
        stamp_ms: i64,
        series: Option<SeriesRef>,
        time_ms: i64,
        bits: u64,
    ) -> Option<Result<bool, (RefusalKind, Option<Existing>)>> {
        let (_, samples) = self.series.values_mut().find(|(known, _)| Some(*known) == series)?;
        if time_ms > stamp_ms + self.config.future_ms_max {
            return Some(Err((RefusalKind::TooNew, None)));
        }
        if let Some(known) = samples.get(&time_ms) {
            let is_newest = samples.last_key_value().is_some_and(|(newest_ms, _)| time_ms == *newest_ms);
            let is_in_order_only = self.config.out_of_order_window_ms == 0;
            return Some(match *known {
                known if known == bits => Ok(false),
                _ if is_in_order_only && !is_newest => Err((RefusalKind::OutOfOrder, None)),
                known => Err((RefusalKind::Conflicting, Some(existing(f64::from_bits(known))))),
            });
        }
        if time_ms < self.sealed_until_ms {
            return Some(Err((RefusalKind::TooOld, None)));
        }
        if samples.last_key_value().is_some_and(|(newest_ms, _)| time_ms < *newest_ms) {
            match self.config.out_of_order_window_ms {
                0 => return Some(Err((RefusalKind::OutOfOrder, None))),
                window_ms if time_ms < self.newest_ms - window_ms => {
                    return Some(Err((RefusalKind::TooOld, None)));
                }
                _ => {}
            }
        }
        samples.insert(time_ms, bits);
        self.newest_ms = self.newest_ms.max(time_ms);
        Some(Ok(true))
    }

    fn delete(&mut self, series: &[usize], start_ms: i64, end_ms: i64, undeleted: &Head) {
        for labels in series.iter().map(|i| labels(*i)) {
            let Some((series, samples)) = self.series.get(&labels) else { continue };
            let Some((newest_ms, _)) = samples.last_key_value() else { continue };
            let start_ms = start_ms.max(first_ms(undeleted, &labels));
            self.deleted.entry(*series).or_default().push((start_ms, end_ms.min(*newest_ms)));
        }
    }

    fn cut(&mut self, end_ms: i64) {
        if end_ms > self.sealed_until_ms {
            self.sealed_until_ms = end_ms;
            self.deleted_at_cut = self.deleted.clone();
            self.deleted_at_cut.values_mut().flatten().for_each(|(_, end)| *end = (*end).min(end_ms - 1));
        }
    }

    fn drop_before(&mut self, end_ms: i64) {
        if end_ms > self.dropped_until_ms {
            self.dropped_until_ms = end_ms;
            self.cut(end_ms);
            self.series.values_mut().for_each(|(_, samples)| *samples = samples.split_off(&end_ms));
            self.series.retain(|_, (_, samples)| !samples.is_empty());
        }
    }

    /// What readers see.
    fn content(&self, start_ms: i64, end_ms: i64) -> Content {
        self.without(&self.deleted, start_ms, end_ms)
    }

    fn without(&self, deleted: &Deleted, start_ms: i64, end_ms: i64) -> Content {
        let samples = |series: SeriesRef, samples: &Samples| match start_ms <= end_ms {
            true => {
                let all = samples.range(start_ms..=end_ms).map(|(t, v)| (*t, *v));
                all.filter(|(time_ms, _)| !is_in(deleted, series, *time_ms)).collect()
            }
            false => Vec::new(),
        };
        let content =
            self.series.iter().map(|(labels, (series, all))| (labels.clone(), samples(*series, all)));
        content.filter(|(_, samples): &(_, Vec<_>)| !samples.is_empty()).collect()
    }
}

/// Returns from when on a head that was never told of a delete takes a series to have samples: dropped ones count that share
/// a chunk with others.
fn first_ms(undeleted: &Head, labels: &LabelSet) -> i64 {
    let all = undeleted.select(&[], TimeRange::ALL, undeleted.dropped_until_ms(), usize::MAX);
    let all = all.expect("the caller is up to date");
    let series = all.iter().find(|series| series.labels == *labels).expect("it has samples");
    series.chunks.iter().map(|chunk| chunk.start_ms).min().expect("it has chunks")
}

fn zip(samples: &model::Samples) -> Vec<(i64, u64)> {
    (0..samples.len()).map(|at| (samples.timestamps[at], code_of(samples, at).to_bits())).collect()
}

fn selected(head: &Head, range: TimeRange, from_ms: i64) -> Result<Content, HeadError> {
    let mut content = Vec::new();
    for series in head.select(&[], range, from_ms, usize::MAX)? {
        let read = |chunks: &[chunk::EncodedChunk]| {
            let mut samples = model::Samples::default();
            chunk::read_merged(chunks, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
            samples
        };
        let samples = read(&series.chunks);
        assert!(samples.timestamps[0] >= from_ms, "nothing before the seam");
        let total: usize = series.chunks.iter().map(|chunk| read(std::slice::from_ref(chunk)).len()).sum();
        assert_eq!(total, samples.len(), "no timestamp occurs in two chunks");
        let samples = zip(&samples);
        let samples: Vec<_> = samples.into_iter().filter(|(time_ms, _)| range.contains(*time_ms)).collect();
        if !samples.is_empty() {
            content.push((series.labels, samples));
        }
    }
    Ok(content)
}

fn window(head: &Head, start_ms: i64, end_ms: i64) -> Content {
    let mut content = Content::new();
    let first_ms = start_ms.max(head.dropped_until_ms());
    for series in head.window(BlockRange::new(start_ms, end_ms)) {
        let mut samples = model::Samples::default();
        chunk::read_merged(&series.chunks, first_ms, end_ms - 1, &mut samples).expect("undamaged");
        if !samples.is_empty() {
            content.push((series.labels, zip(&samples)));
        }
    }
    content.sort_unstable();
    content
}

fn check(
    head: &Head,
    undeleted: &Head,
    model: &Model,
    start_ms: i64,
    length_ms: i64,
) -> Result<(), TestCaseError> {
    let (end_ms, from_ms) = (start_ms + length_ms, model.dropped_until_ms);
    let expected = model.without(&model.deleted_at_cut, start_ms, end_ms - 1);
    prop_assert_eq!(window(head, start_ms, end_ms), expected);
    let found = selected(head, TimeRange::new(start_ms, end_ms), from_ms);
    prop_assert_eq!(found.expect("the caller is up to date"), model.content(start_ms, end_ms));
    let later_ms = from_ms.max(start_ms);
    let found = selected(head, TimeRange::ALL, later_ms).expect("the caller is ahead");
    prop_assert_eq!(found, model.content(later_ms, i64::MAX));
    if from_ms > i64::MIN {
        let is_stale = matches!(selected(head, TimeRange::ALL, from_ms - 1), Err(HeadError::Stale { .. }));
        prop_assert!(is_stale);
    }
    let stats = head.stats();
    prop_assert_eq!(stats.series as usize, model.series.len());
    prop_assert_eq!(
        (stats.sealed_until_ms, stats.dropped_until_ms),
        (model.sealed_until_ms, model.dropped_until_ms)
    );
    let all = model.without(&Deleted::new(), i64::MIN, i64::MAX);
    let times = || all.iter().flat_map(|(_, samples)| samples.iter().map(|(time_ms, _)| *time_ms));
    prop_assert_eq!(stats.max_ms, times().max());
    prop_assert!(stats.min_ms <= times().min() && stats.min_ms >= times().min().map(|_| from_ms));
    prop_assert!(stats.samples as usize >= times().count());
    let names = head.series(&[], TimeRange::ALL, None).expect("few series");
    let is_listed = |(labels, samples): &(LabelSet, Vec<(i64, u64)>)| {
        let (series, newest_ms) = (model.series[labels].0, samples[samples.len() - 1].0);
        (first_ms(undeleted, labels)..=newest_ms).any(|time_ms| !is_in(&model.deleted, series, time_ms))
    };
    let listed: Vec<LabelSet> = all.into_iter().filter(is_listed).map(|(labels, _)| labels).collect();
    prop_assert_eq!(names, listed);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_head_equals_the_model(
        ops in prop::collection::vec(op(), 1..25),
        window_ms in prop::sample::select(vec![0i64, 300, 100_000]),
        start_ms in -10i64..3000,
        length_ms in 0i64..3000,
    ) {
        let (head, mut model) = (Head::new(config(window_ms)), Model::new(config(window_ms)));
        let undeleted = Head::new(config(window_ms));
        let mut known = KnownRefs::new();
        for op in &ops {
            let known_before = known.clone();
            let outcome = perform(&head, op, &mut known);
            if !matches!(op, Op::Delete { .. }) {
                let same = perform(&undeleted, op, &mut known_before.clone());
                prop_assert_eq!(&outcome, &same, "deletes change nothing of what is accepted");
            }
            match op {
                Op::Append { stamp_ms, runs } => {
                    let outcome = outcome.expect("an append has an outcome");
                    let expected = model.append(*stamp_ms, runs, &known_before, &outcome);
                    prop_assert_eq!(outcome, expected);
                }
                Op::Cut(end_ms) => model.cut(*end_ms),
                Op::Delete { series, start_ms, end_ms, .. } => model.delete(series, *start_ms, *end_ms, &undeleted),
                Op::Drop(end_ms) => model.drop_before(*end_ms),
            }
            check(&head, &undeleted, &model, start_ms, length_ms)?;
        }
        let bytes = head.stats().bytes;
        head.drop_before(i64::MAX);
        prop_assert!(head.stats().bytes <= bytes);
        prop_assert_eq!((head.stats().series, head.stats().samples, head.stats().max_ms), (0, 0, None));
    }
}
