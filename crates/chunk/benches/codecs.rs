//! Bytes and nanoseconds a sample of the open and the sealed encoding beside plain Gorilla XOR, on series as targets have them.
//!
//!     cargo bench -p chunk
//!
//! Gorilla (Pelkonen et al., VLDB 2015, section 4.1) is written here as the paper has it, with Prometheus's millisecond
//! widths, to compare with; nothing else uses it. A native histogram is compared with one Gorilla chunk for each of its counts,
//! which is what classic buckets are; its figures are for one count, so that the rows compare. Absolute times mean little on
//! a shared machine.

mod gorilla;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use chunk::{OpenRun, decode, encode_run, runs};
use model::histogram::Span;
use model::{FloatHistogram, Samples};

const CHUNKS: usize = 200;
const SAMPLES: usize = 480;
const BUCKETS: usize = 20;
/// Each figure is the best of so many.
const ROUNDS: usize = 5;

/// A multiplicative generator is random enough here.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn floats(seed: u64, jitter_ms: u64, mut value: impl FnMut(&mut Random, usize) -> f64) -> Samples {
    let (mut random, mut samples) = (Random(seed), Samples::default());
    for at in 0..SAMPLES {
        let time_ms = 1_700_000_000_000 + at as i64 * 15_000 + random.below(jitter_ms + 1) as i64;
        samples.push(time_ms, value(&mut random, at));
    }
    samples
}

fn histograms(seed: u64) -> Samples {
    let (mut random, mut samples) = (Random(seed), Samples::default());
    let (mut counts, mut sum) = (vec![0.0; BUCKETS], 0.0);
    for at in 0..SAMPLES as i64 {
        for (bucket, count) in counts.iter_mut().enumerate() {
            // Most observations lie in the middle.
            let width = 10 - bucket.abs_diff(BUCKETS / 2) as u64;
            *count += random.below(1 + width * width) as f64;
        }
        sum += random.below(1_000_000) as f64 / 7.0;
        let histogram = FloatHistogram {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            count: counts.iter().sum(),
            sum,
            positive_spans: vec![Span { offset: -4, length: BUCKETS as u32 }],
            positive_buckets: counts.clone(),
            ..FloatHistogram::default()
        };
        samples.push_histogram(1_700_000_000_000 + at * 15_000, Arc::new(histogram));
    }
    samples
}

fn series(kind: &str, seed: u64) -> Samples {
    let mut sum = 0u64;
    match kind {
        "constant" => floats(seed, 0, |_, _| 1.0),
        "counter" => floats(seed, 0, |random, _| {
            sum += random.below(100);
            sum as f64
        }),
        "counter, 5 ms jitter" => floats(seed, 5, |random, _| {
            sum += random.below(100);
            sum as f64
        }),
        "gauge, 2 decimals" => floats(seed, 0, |random, _| random.below(10_000) as f64 / 100.0),
        "bytes in pages" => floats(seed, 0, |random, _| (random.below(4096) * 4096) as f64),
        "seconds summed up" => floats(seed, 0, |random, _| {
            sum += random.below(1_000_000);
            sum as f64 / 7e6
        }),
        "counter with start" => {
            let mut samples = series("counter", seed);
            samples.start_timestamps = vec![1_699_999_000_000; SAMPLES];
            samples
        }
        _ => histograms(seed),
    }
}

/// Returns the nanoseconds for each of so many numbers, at best.
fn measure(numbers: usize, mut work: impl FnMut() -> usize) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        black_box(work());
        begin.elapsed().as_nanos() as f64 / numbers as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn open(samples: &Samples) -> Vec<bytes::Bytes> {
    let (mut chunks, mut run) = (Vec::new(), OpenRun::default());
    for (at, time_ms) in samples.timestamps.iter().enumerate() {
        let (start_ms, value) = (samples.start(at), samples.value(at));
        if !run.takes(start_ms, &value) {
            chunks.push(std::mem::take(&mut run).to_encoded().data);
        }
        run.append(*time_ms, start_ms, value);
    }
    chunks.push(run.to_encoded().data);
    chunks
}

fn sealed(samples: &Samples) -> Vec<bytes::Bytes> {
    runs(samples).map(|run| encode_run(samples, run).data).collect()
}

/// Every number of the samples in a chunk of its own, as Gorilla has it.
fn gorilla(samples: &Samples) -> Vec<Vec<u8>> {
    if samples.histograms.is_empty() {
        return vec![gorilla::encode(&samples.timestamps, &samples.floats)];
    }
    let column = |pick: &dyn Fn(&FloatHistogram) -> f64| {
        let values: Vec<f64> = samples.histograms.iter().map(|(_, histogram)| pick(histogram)).collect();
        gorilla::encode(&samples.timestamps, &values)
    };
    let buckets = (0..BUCKETS).map(|bucket| column(&|histogram| histogram.positive_buckets[bucket]));
    buckets.chain([column(&|histogram| histogram.count), column(&|histogram| histogram.sum)]).collect()
}

fn row(
    kind: &str,
    codec: &str,
    all: &[Samples],
    encode: impl Fn(&Samples) -> Vec<Vec<u8>>,
    read: impl Fn(&[u8]),
) {
    let per_sample = if all[0].histograms.is_empty() { 1 } else { BUCKETS + 2 };
    let numbers = all.len() * SAMPLES * per_sample;
    let chunks: Vec<Vec<u8>> = all.iter().flat_map(&encode).collect();
    let bytes: usize = chunks.iter().map(Vec::len).sum();
    let encoding = measure(numbers, || all.iter().map(|samples| encode(samples).len()).sum());
    let decoding = measure(numbers, || {
        chunks.iter().for_each(|chunk| read(chunk));
        chunks.len()
    });
    println!(
        "{kind:<22} {codec:<8} {:>8.2} {encoding:>10.1} {decoding:>10.1}",
        bytes as f64 / numbers as f64
    );
}

fn main() {
    println!("{:<22} {:<8} {:>8} {:>10} {:>10}", "series", "codec", "B/sample", "ns encode", "ns decode");
    let kinds = [
        "constant",
        "counter",
        "counter, 5 ms jitter",
        "gauge, 2 decimals",
        "bytes in pages",
        "seconds summed up",
        "counter with start",
        "native histogram",
    ];
    let read = |data: &[u8]| {
        let mut samples = Samples::default();
        decode(data, &mut samples).expect("it was just encoded");
        black_box(samples.len());
    };
    let vectors = |chunks: Vec<bytes::Bytes>| chunks.into_iter().map(Vec::from).collect::<Vec<_>>();
    for kind in kinds {
        let all: Vec<Samples> = (0..CHUNKS as u64).map(|seed| series(kind, seed)).collect();
        let back = gorilla::decode(&gorilla::encode(&all[0].timestamps, &all[0].floats));
        assert!(back.into_iter().eq(all[0].timestamps.iter().copied().zip(all[0].floats.iter().copied())));
        row(kind, "gorilla", &all, gorilla, |data| {
            black_box(gorilla::decode(data).len());
        });
        row(kind, "open", &all, |samples| vectors(open(samples)), read);
        row(kind, "sealed", &all, |samples| vectors(sealed(samples)), read);
    }
}
