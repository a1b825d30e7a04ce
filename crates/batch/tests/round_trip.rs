//! Property tests and golden bytes of the batch and its outcome.

use std::sync::Arc;

use batch::{
    Batch, BatchBuilder, BatchError, BatchExemplar, BatchOutcome, BatchSample, Existing, RefusalKind,
    SeriesSlot, WideSample,
};
use model::histogram::Span;
use model::{Exemplar, FloatHistogram, LabelSet, MetricMetadata, MetricType, SeriesRef};
use proptest::prelude::*;

#[derive(Clone, Debug, Default)]
struct Content {
    declared: Vec<LabelSet>,
    metadata: Vec<MetricMetadata>,
    samples: Vec<BatchSample>,
    wide: Vec<WideSample>,
    exemplars: Vec<BatchExemplar>,
}

impl Content {
    fn encode(&self) -> bytes::Bytes {
        let mut builder = BatchBuilder::new();
        for (index, labels) in self.declared.iter().enumerate() {
            assert_eq!(builder.declare(labels), index as u32);
        }
        self.metadata.iter().for_each(|metadata| builder.push_metadata(metadata));
        let mut wide = self.wide.iter().peekable();
        for (position, sample) in self.samples.iter().enumerate() {
            match sample.series {
                SeriesSlot::Ref(series) => builder.push_ref(series, sample.time_ms, sample.value),
                SeriesSlot::Declared(index) => builder.push_declared(index, sample.time_ms, sample.value),
            }
            if let Some(wide) = wide.next_if(|wide| wide.position as usize == position) {
                builder.widen_last(wide.start_ms, wide.histogram.as_deref());
            }
        }
        self.exemplars.iter().for_each(|of| builder.push_exemplar(&of.series, &of.exemplar));
        assert_eq!(builder.samples(), self.samples.len());
        let size_bytes = builder.size_bytes();
        let bytes = builder.finish();
        assert!(bytes.len() <= size_bytes, "the size is an upper bound");
        bytes
    }
}

fn labels() -> impl Strategy<Value = LabelSet> {
    prop::collection::vec(("[a-z]{1,4}", ".{0,8}"), 0..5).prop_map(LabelSet::from_pairs)
}

fn metadata() -> impl Strategy<Value = MetricMetadata> {
    let types = prop::sample::select(vec![MetricType::Unknown, MetricType::Counter, MetricType::StateSet]);
    ("[a-z]{0,6}", types, ".{0,20}", "[a-z]{0,6}")
        .prop_map(|(family, metric_type, help, unit)| MetricMetadata { family, metric_type, help, unit })
}

fn histogram() -> impl Strategy<Value = FloatHistogram> {
    let buckets = prop::collection::vec(prop_oneof![(0u32..1000).prop_map(f64::from), Just(0.5)], 0..20);
    let histogram = (buckets, -4i32..9, any::<i32>()).prop_map(|(buckets, schema, offset)| FloatHistogram {
        schema,
        count: buckets.iter().sum(),
        sum: 0.1,
        positive_spans: vec![Span { offset, length: buckets.len() as u32 }],
        positive_buckets: buckets,
        ..FloatHistogram::default()
    });
    prop_oneof![4 => histogram, 1 => Just(FloatHistogram { schema: 3, ..FloatHistogram::default() })]
}

/// Extras of samples at some positions.
fn wide(samples: usize) -> impl Strategy<Value = Vec<WideSample>> {
    let start = prop_oneof![Just(0), any::<i64>()];
    let one = prop::option::weighted(0.3, (start, prop::option::of(histogram())));
    prop::collection::vec(one, samples).prop_map(|all| {
        let some = (0..).zip(all).filter_map(|(position, one)| Some((position, one?)));
        let wide = some.map(|(position, (start_ms, histogram))| WideSample {
            position,
            start_ms,
            histogram: histogram.map(Arc::new),
        });
        wide.filter(|wide| wide.start_ms != 0 || wide.histogram.is_some()).collect()
    })
}

fn exemplars() -> impl Strategy<Value = Vec<BatchExemplar>> {
    let series = prop::sample::select(vec!["a", "b"]);
    let one =
        (series, labels(), any::<i64>(), -9i32..9).prop_map(|(name, labels, time_ms, value)| BatchExemplar {
            series: LabelSet::from_pairs([("__name__", name)]),
            exemplar: Exemplar { labels, value: f64::from(value), time_ms },
        });
    prop_oneof![Just(Vec::new()), prop::collection::vec(one, 0..6)]
}

fn content() -> impl Strategy<Value = Content> {
    let wide = |content: Content| {
        let wide = prop_oneof![Just(Vec::new()), wide(content.samples.len())];
        (wide, exemplars()).prop_map(move |(wide, exemplars)| Content { wide, exemplars, ..content.clone() })
    };
    narrow_content().prop_flat_map(wide)
}

fn narrow_content() -> impl Strategy<Value = Content> {
    let time = prop_oneof![Just(1_700_000_000_000i64), any::<i64>(), 0i64..100];
    let times = prop_oneof![Just(None), time.clone().prop_map(Some)];
    let series = prop_oneof![any::<u64>(), 0u64..50];
    let sample = (any::<bool>(), series, any::<prop::sample::Index>(), time, any::<u64>());
    let samples = prop::collection::vec(sample, 0..40);
    let declared = prop::collection::vec(labels(), 0..6);
    (declared, prop::collection::vec(metadata(), 0..4), samples, times).prop_map(
        |(declared, metadata, samples, equal)| {
            let slot = |is_ref: bool, series, index: prop::sample::Index| match declared.len() {
                count if count > 0 && !is_ref => SeriesSlot::Declared(index.index(count) as u32),
                _ => SeriesSlot::Ref(SeriesRef(series)),
            };
            let samples = samples
                .into_iter()
                .map(|(is_ref, series, index, time_ms, value)| BatchSample {
                    series: slot(is_ref, series, index),
                    time_ms: equal.unwrap_or(time_ms),
                    value: f64::from_bits(value),
                })
                .collect();
            Content { declared, metadata, samples, ..Content::default() }
        },
    )
}

fn rows(samples: &[BatchSample]) -> Vec<(SeriesSlot, i64, u64)> {
    samples.iter().map(|sample| (sample.series, sample.time_ms, sample.value.to_bits())).collect()
}

fn outcome() -> impl Strategy<Value = BatchOutcome> {
    let refs = prop::collection::vec(prop::option::of(any::<u64>().prop_map(SeriesRef)), 0..10);
    let refusal =
        (any::<u32>(), prop::sample::select(vec![RefusalKind::Conflicting, RefusalKind::OverLimit]));
    let existing = prop::option::of(prop_oneof![
        Just(Existing::Histogram),
        any::<u64>().prop_map(|bits| Existing::Float(f64::from_bits(bits)))
    ]);
    let refusal = prop::option::of((refusal, existing));
    (any::<[u64; 7]>(), refs, prop::collection::vec(any::<u32>(), 0..10), refusal).prop_map(
        |(counts, declared_refs, unknown_samples, refusal)| BatchOutcome {
            accepted: counts[0],
            duplicate: counts[1],
            conflicting: counts[2],
            out_of_order: counts[3],
            too_old: counts[4],
            too_new: counts[5],
            over_limit: counts[6],
            declared_refs,
            unknown_samples,
            first_refusal: refusal.map(|(refusal, _)| refusal),
            first_existing: refusal.and_then(|(_, existing)| existing),
        },
    )
}

proptest! {
    #[test]
    fn a_batch_comes_back(content in content()) {
        let batch = Batch::decode(&content.encode())?;
        prop_assert_eq!(batch.declared(), &content.declared);
        prop_assert_eq!(batch.metadata(), &content.metadata);
        prop_assert_eq!(rows(batch.samples()), rows(&content.samples));
        prop_assert_eq!(batch.wide(), &content.wide);
        prop_assert_eq!(batch.exemplars(), &content.exemplars);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let versioned = |version: u8| [&[version][..], &bytes].concat();
        for bytes in [&bytes, &versioned(1), &versioned(2), &versioned(3)] {
            if let Ok(batch) = Batch::decode(bytes) {
                prop_assert!(batch.samples().len() * 9 <= bytes.len() && batch.wide().len() * 2 <= bytes.len());
            }
            if let Ok(outcome) = BatchOutcome::decode(bytes) {
                prop_assert!(outcome.declared_refs.len() + outcome.unknown_samples.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn damaged_batches_are_refused_or_consistent(
        content in content(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = content.encode();
        prop_assert!(Batch::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(Batch::decode(&longer).is_err());
        let mut mutated = bytes.to_vec();
        mutations.iter().for_each(|(index, byte)| mutated[index.index(bytes.len())] = *byte);
        if let Ok(batch) = Batch::decode(&mutated) {
            let in_range = |sample: &BatchSample| match sample.series {
                SeriesSlot::Declared(index) => (index as usize) < batch.declared().len(),
                SeriesSlot::Ref(_) => true,
            };
            prop_assert!(batch.samples().iter().all(in_range));
            let positions = || batch.wide().iter().map(|wide| wide.position);
            prop_assert!(positions().is_sorted_by(|a, b| a < b));
            prop_assert!(positions().all(|position| (position as usize) < batch.samples().len()));
        }
    }

    #[test]
    fn an_outcome_comes_back(outcome in outcome(), cut in any::<prop::sample::Index>()) {
        let bytes = outcome.encode();
        prop_assert_eq!(BatchOutcome::decode(&bytes)?, outcome);
        prop_assert!(BatchOutcome::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_bytes() {
    let labels = LabelSet::from_pairs([("__name__", "up"), ("job", "node")]);
    let family = MetricMetadata {
        family: "up".into(),
        metric_type: MetricType::Gauge,
        help: "h".into(),
        unit: String::new(),
    };
    let sample = |series, time_ms, value| BatchSample { series, time_ms, value };
    let content = Content {
        declared: vec![labels],
        metadata: vec![family],
        samples: vec![
            sample(SeriesSlot::Declared(0), 1000, 1.0),
            sample(SeriesSlot::Ref(SeriesRef(300)), 1000, -0.0),
            sample(SeriesSlot::Ref(SeriesRef(301)), 1000, 2.5),
        ],
        ..Content::default()
    };
    assert_eq!(
        hex(&content.encode()),
        "01010103020415085f5f6e616d655f5f027570036a6f62046e6f646502757002016800030400d8040200d00f000000000000f03f00000000000000800000000000000440"
    );
    let mut later = content;
    later.samples[2].time_ms = 1015;
    assert_eq!(
        hex(&later.encode()),
        "01010103020415085f5f6e616d655f5f027570036a6f62046e6f646502757002016800030400d8040201d00f001e000000000000f03f00000000000000800000000000000440"
    );
    let histogram = FloatHistogram {
        schema: 2,
        count: 9.0,
        sum: 1.5,
        positive_spans: vec![Span { offset: -1, length: 2 }],
        positive_buckets: vec![7.0, 2.0],
        ..FloatHistogram::default()
    };
    later.wide = vec![
        WideSample { position: 0, start_ms: 500, histogram: None },
        WideSample { position: 2, start_ms: 600, histogram: Some(Arc::new(histogram)) },
    ];
    assert_eq!(
        hex(&later.encode()),
        "0201010302042315085f5f6e616d655f5f027570036a6f62046e6f646502757002016800030400d804020001e8070103c801000400000000000000000101020000000000000000f83f09000e0901d00f001e000000000000f03f00000000000000800000000000000440"
    );
    let exemplar = |labels: &[(&str, &str)], time_ms| BatchExemplar {
        series: LabelSet::from_pairs([("__name__", "up")]),
        exemplar: Exemplar { labels: LabelSet::from_pairs(labels.iter().copied()), value: 1.5, time_ms },
    };
    let few =
        Content { exemplars: vec![exemplar(&[("t", "9")], 1000), exemplar(&[], 1001)], ..Content::default() };
    assert_eq!(
        hex(&few.encode()),
        "03000000000000270c085f5f6e616d655f5f027570d00f000000000000f83f04017401390002000000000000f83f000000"
    );
    assert_eq!(hex(&BatchBuilder::new().finish()), "0100000000000000");
    assert!(BatchBuilder::new().is_empty());

    let mut outcome = BatchOutcome { accepted: 5, duplicate: 1, ..BatchOutcome::default() };
    outcome.declared_refs = vec![Some(SeriesRef(7)), None, Some(SeriesRef(8))];
    outcome.unknown_samples = vec![3, 9];
    outcome.refuse(4, RefusalKind::TooOld);
    outcome.refuse(6, RefusalKind::TooNew);
    assert_eq!(outcome.first_refusal, Some((4, RefusalKind::TooOld)));
    assert_eq!(outcome.refused(), 2);
    assert_eq!(hex(&outcome.encode()), "020501000001010003010e00010202060c030400");
}

#[test]
fn a_strange_version_is_refused() {
    assert_eq!(Batch::decode(&[9]), Err(BatchError::UnknownVersion { version: 9 }));
    assert_eq!(BatchOutcome::decode(&[9]), Err(BatchError::UnknownVersion { version: 9 }));
}

#[test]
fn labels_are_checked() {
    let mut builder = BatchBuilder::new();
    builder.declare(&LabelSet::from_pairs([("a", "b")]));
    let mut bytes = builder.finish().to_vec();
    let name_at = bytes.iter().position(|byte| *byte == b'a').expect("the name is in the batch");
    bytes[name_at] = 0xff;
    assert!(matches!(Batch::decode(&bytes), Err(BatchError::Labels { index: 0, .. })));
}
