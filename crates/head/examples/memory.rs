//! Bytes a series that a head takes, by part, hour by hour, while two windows of two hours pass through it.
//!
//!     cargo run --release -p head --example memory [SERIES]
//!
//! Targets of 100 series with eight to eleven labels, scraped every 15 s; counters, gauges, and every tenth series of full
//! precision. Resident memory counts this program's own lists too (8 bytes a series).

use std::path::Path;
use std::time::Instant;

use batch::{Batch, BatchBuilder};
use head::{Head, HeadConfig, HeadMemory};
use model::{BlockRange, LabelSet, SeriesRef};

const SERIES_DEFAULT: usize = 500_000;
const TARGET_SERIES: usize = 100;
const BATCH_SERIES: usize = 2000;
const STEP_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
const WINDOW_MS: i64 = 2 * HOUR_MS;
const GRACE_MS: i64 = HOUR_MS / 2;

fn labels(number: usize) -> LabelSet {
    let (target, local) = (number / TARGET_SERIES, number % TARGET_SERIES);
    let mut labels = vec![
        ("__name__".to_owned(), format!("service_metric_{:02}_total", local / 4)),
        ("cluster".to_owned(), "eu-central-1-production".to_owned()),
        ("container".to_owned(), format!("container-{}", target % 40)),
        ("instance".to_owned(), format!("10.{}.{}.{}:8080", target >> 16, target >> 8 & 255, target & 255)),
        ("job".to_owned(), format!("service-{}", target % 20)),
        ("namespace".to_owned(), format!("team-{}", target % 50)),
        ("node".to_owned(), format!("node-{}.eu-central-1.internal", target % 200)),
        ("pod".to_owned(), format!("service-{}-6d4cf56db6-{target:05}", target % 20)),
    ];
    match local % 4 {
        0 => {}
        1 => labels.push(("method".to_owned(), "GET".to_owned())),
        2 => labels.push(("code".to_owned(), format!("{}00", local % 5 + 1))),
        _ => labels.push(("le".to_owned(), format!("0.{local:02}"))),
    }
    LabelSet::from_pairs(labels)
}

/// Returns a counter, an idle one, a gauge of two digits, or noise of full precision.
fn value(number: usize, step: i64) -> f64 {
    let noise = (number as i64).wrapping_mul(6_364_136_223).wrapping_add(step * 1_442_695).rem_euclid(1000);
    match number % 10 {
        0 => (noise as f64 / 7.0).sqrt(),
        1 | 2 => number as f64,
        3..=5 => (40_000 + noise) as f64 / 100.0,
        _ => (step * 137 + noise) as f64,
    }
}

fn apply(head: &Head, time_ms: i64, builder: BatchBuilder) -> Vec<Option<SeriesRef>> {
    let batch = Batch::decode(&builder.finish()).expect("a builder writes batches");
    head.apply(time_ms, &batch).declared_refs
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let row = status.lines().find_map(|row| row.strip_prefix("VmRSS:"));
    let kilobytes = row.and_then(|row| row.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn print(head: &Head, series: usize, what: &str, began: Instant) {
    let HeadMemory { series: structs, index, chunks, spool, files } = head.memory();
    let each = |bytes: u64| bytes as f64 / series as f64;
    println!(
        "{what:<22} {:>6.0} s  structs {:>5.0}  index {:>5.0}  chunks {:>5.0}  spool {:>4.0}  files {:>5.0}  resident {:>6.0}",
        began.elapsed().as_secs_f64(),
        each(structs),
        each(index),
        each(chunks),
        each(spool),
        each(files),
        each(resident_bytes()),
    );
}

fn main() {
    let series = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(SERIES_DEFAULT);
    let config = HeadConfig {
        out_of_order_window_ms: GRACE_MS,
        future_ms_max: i64::MAX,
        series_max: u64::MAX,
        exemplars_max: 0,
    };
    let (head, began) = (Head::in_directory(config, Path::new(".")), Instant::now());
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(series);
    for numbers in (0..series).collect::<Vec<_>>().chunks(BATCH_SERIES) {
        let mut builder = BatchBuilder::new();
        for number in numbers {
            builder.declare(&labels(*number));
        }
        refs.extend(apply(&head, 0, builder).into_iter().flatten());
    }
    print(&head, series, "declared", began);
    for step in 0..(2 * WINDOW_MS + GRACE_MS) / STEP_MS {
        let time_ms = step * STEP_MS;
        for (chunk, numbers) in refs.chunks(BATCH_SERIES).enumerate() {
            let mut builder = BatchBuilder::new();
            for (place, series) in numbers.iter().enumerate() {
                builder.push_ref(*series, time_ms, value(chunk * BATCH_SERIES + place, step));
            }
            apply(&head, time_ms, builder);
        }
        if (time_ms + STEP_MS) % (HOUR_MS / 2) == 0 {
            print(&head, series, &format!("{:.1} h", (time_ms + STEP_MS) as f64 / HOUR_MS as f64), began);
        }
        if time_ms > GRACE_MS && (time_ms - GRACE_MS) % WINDOW_MS == 0 {
            let end_ms = time_ms - GRACE_MS;
            head.cut(end_ms);
            let read = head.window(BlockRange::new(end_ms - WINDOW_MS, end_ms)).count();
            print(&head, series, &format!("window of {read} read"), began);
            head.drop_before(end_ms);
            print(&head, series, "window dropped", began);
        }
    }
}
