//! The tools over a bucket of two small blocks in a directory.

use std::path::Path;

use block::{BlockInput, BlockSpec, BuiltBlock, ObjectStoreConfig};
use model::{BlockId, BlockRange, FloatHistogram, LabelSet, Samples, ShardId, SortRange};
use serde_json::Value;

use super::{Stop, dump, inspect, ls, verify};
use crate::cli::{DumpFlags, InspectFlags, LsFlags, Output, PlaceFlags, VerifyFlags};

fn samples(values: &[(i64, f64)]) -> Samples {
    let mut samples = Samples::default();
    values.iter().for_each(|(time_ms, value)| samples.push(*time_ms, *value));
    samples
}

fn block(number: u128) -> BuiltBlock {
    let spec = BlockSpec {
        id: BlockId(number),
        shard: ShardId(number as u32),
        range: BlockRange::new(0, 7_200_000),
        level: 0,
        cut_index: 1,
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: SortRange::ALL,
        external_labels: Default::default(),
        metadata: Vec::new(),
    };
    let mut histogram = Samples::default();
    histogram.push_histogram(5, FloatHistogram { count: 2.0, sum: 0.5, ..Default::default() }.into());
    let series = [
        (LabelSet::from_pairs([("__name__", "up"), ("job", "a")]), samples(&[(1000, 1.0), (2000, f64::NAN)])),
        (LabelSet::from_pairs([("__name__", "up"), ("job", "b")]), samples(&[(1000, 0.0)])),
        (LabelSet::from_pairs([("job", "nameless")]), histogram),
    ];
    let inputs = series.iter().map(|(labels, samples)| BlockInput { labels, samples });
    block::build(&spec, inputs).expect("valid input")
}

/// Makes a bucket of two blocks.
async fn bucket(dir: &Path) -> [BuiltBlock; 2] {
    let store = block::open_store(&ObjectStoreConfig::Local { dir: dir.to_owned() }).expect("a directory");
    let blocks = [1, 2].map(block);
    for built in &blocks {
        block::upload(&*store, built).await.expect("the names are free");
    }
    blocks
}

fn place(dir: &Path) -> PlaceFlags {
    PlaceFlags { objstore_dir: Some(dir.to_owned()), ..Default::default() }
}

/// Returns what was printed, and the fault, if there was one.
fn text(out: Vec<u8>, done: Result<(), Stop>) -> (String, Option<String>) {
    let fault = done.err().map(|stop| match stop {
        Stop::Fault(fault) => fault.to_string(),
        Stop::Output(error) => panic!("memory takes all bytes: {error}"),
    });
    (String::from_utf8(out).expect("text"), fault)
}

async fn list(dir: &Path, output: Output) -> String {
    let mut out = Vec::new();
    let done = ls::run(&LsFlags { place: place(dir), output }, &mut out).await;
    let (text, fault) = text(out, done);
    assert_eq!(fault, None);
    text
}

async fn verified(dir: &Path, blocks: &[&str], output: Output) -> (String, Option<String>) {
    let blocks: Vec<String> = blocks.iter().map(|id| (*id).to_owned()).collect();
    let flags = VerifyFlags { all: blocks.is_empty(), blocks, place: place(dir), output };
    let mut out = Vec::new();
    let done = verify::run(&flags, &mut out).await;
    text(out, done)
}

async fn dumped(flags: DumpFlags) -> (String, Option<String>) {
    let mut out = Vec::new();
    let done = dump::run(&flags, &mut out).await;
    text(out, done)
}

#[tokio::test]
async fn a_bucket_is_listed_with_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let [first, second] = bucket(dir.path()).await;
    let size = |built: &BuiltBlock| built.series_bytes.len() + built.chunks_bytes.len();
    let text = list(dir.path(), Output::Table).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let (id, bytes) = (first.meta.id.to_string(), size(&first).to_string());
    let mean = format!("{:.3}", size(&first) as f64 / 4.0);
    let range = ["1970-01-01T00:00:00Z", "1970-01-01T02:00:00Z"];
    assert_eq!(lines[1], [&id, "1", "0", "raw", range[0], range[1], "3", "4", &bytes, &mean, "stored"]);
    assert!(lines[3].join(" ").starts_with("2 blocks, 6 series, 8 samples, "), "{text}");

    std::fs::remove_file(dir.path().join(&first.meta.chunks_object.key)).expect("it is there");
    std::fs::write(dir.path().join(&second.meta.series_object.key), "no Parquet at all").expect("writable");
    std::fs::write(dir.path().join("b/other"), "not of a block").expect("writable");
    let listed: Vec<Value> = serde_json::from_str(&list(dir.path(), Output::Json).await).expect("JSON");
    let states: Vec<&str> = listed.iter().filter_map(|block| block["state"].as_str()).collect();
    assert_eq!(states[0], "incomplete: chunks.parquet is missing");
    assert!(states[1].starts_with("damaged: ") && states[1].contains("footer"), "{states:?}");
    assert_eq!(states.len(), 2);
    let (text, fault) = verified(dir.path(), &[], Output::Table).await;
    assert_eq!((text.lines().count(), fault.as_deref()), (2, Some("2 of 2 blocks are damaged")));
}

#[tokio::test]
async fn a_verification_has_a_line_for_each_fault_and_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    let [first, second] = bucket(dir.path()).await;
    let (good, bad) = (first.meta.id.to_string(), second.meta.id.to_string());
    let whole = |built: &BuiltBlock| {
        let bytes = built.series_bytes.len() + built.chunks_bytes.len();
        format!("{}  whole: 3 series, 4 samples, {bytes} bytes", built.meta.id)
    };
    let (text, fault) = verified(dir.path(), &[], Output::Table).await;
    assert_eq!((text, fault), (format!("{}\n{}\n", whole(&first), whole(&second)), None));

    let mut damaged = second.chunks_bytes.to_vec();
    damaged[40] ^= 1;
    let key = &second.meta.chunks_object.key;
    std::fs::write(dir.path().join(key), damaged).expect("writable");
    let (text, fault) = verified(dir.path(), &[], Output::Table).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], whole(&first));
    let page = format!("{bad}  DAMAGED: {key}: column c0, rows 0 to 2: page checksum ");
    assert!(lines[1].starts_with(&page), "{text}");
    assert!(lines[2].starts_with(&format!("{bad}  DAMAGED: {key}: object: checksum ")), "{text}");
    assert_eq!(fault.as_deref(), Some("1 of 2 blocks are damaged"));
    let (text, fault) = verified(dir.path(), &[&good], Output::Json).await;
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((found[0]["faults"].as_array().map(Vec::len), fault), (Some(0), None));
    let (_, fault) = verified(dir.path(), &["0000000000000000000000001A"], Output::Table).await;
    assert_eq!(fault.as_deref(), Some("block 0000000000000000000000001A is not in the bucket"));
}

#[tokio::test]
async fn an_inspection_shows_files_sections_and_labels() {
    let dir = tempfile::tempdir().expect("a directory");
    let [built, _] = bucket(dir.path()).await;
    let flags = |output| InspectFlags { block: built.meta.id.to_string(), place: place(dir.path()), output };
    let mut out = Vec::new();
    let done = inspect::run(&flags(Output::Table), &mut out).await;
    let (table, fault) = text(out, done);
    assert_eq!(fault, None);
    for part in
        ["content  3 series, 4 samples", "norn.windows = [0,7200000]", "l_job", "c0 ", "index ", "__name__ "]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let mut out = Vec::new();
    inspect::run(&flags(Output::Json), &mut out).await.expect("a block");
    let seen: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!((&seen["meta"]["samples"], &seen["labels"][1]["values"]), (&4.into(), &3.into()));
}

#[tokio::test]
async fn a_dump_prints_series_and_samples() {
    let dir = tempfile::tempdir().expect("a directory");
    let [built, _] = bucket(dir.path()).await;
    let flags = |block: &str, selector: Option<&str>, limit, output| DumpFlags {
        block: block.to_owned(),
        selector: selector.map(str::to_owned),
        limit,
        place: place(dir.path()),
        output,
    };
    let id = built.meta.id.to_string();
    let up = "up{job=\"a\"}\n  1000 1\n  2000 NaN\nup{job=\"b\"}\n  1000 0\n";
    let (text, _) = dumped(flags(&id, Some("up"), 0, Output::Table)).await;
    assert_eq!(text, up);
    let file = dir.path().join(&built.meta.series_object.key);
    for path in [file.parent().expect("a folder"), &file, &file.with_file_name("chunks.parquet")] {
        let (text, fault) = dumped(flags(&path.display().to_string(), None, 0, Output::Table)).await;
        assert!(text.starts_with("{job=\"nameless\"}\n  5 {") && text.ends_with(up), "{text} {fault:?}");
    }
    let (text, _) = dumped(flags(&id, None, 2, Output::Json)).await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["samples"][0][1]["count"], "2");
    assert_eq!(
        lines[1],
        serde_json::json!({
            "labels": { "__name__": "up", "job": "a" },
            "samples": [[1000, "1"], [2000, "NaN"]],
        })
    );
    let (_, fault) = dumped(flags(&id, Some("up{"), 0, Output::Table)).await;
    assert!(fault.is_some_and(|fault| fault.starts_with("--match \"up{\": ")));
    let (_, fault) = dumped(flags("nowhere", None, 0, Output::Table)).await;
    assert!(fault.is_some_and(|fault| fault.contains("give a block's id, one of its files")));
}

#[tokio::test]
async fn a_place_must_be_given() {
    let mut out = Vec::new();
    let flags = LsFlags { place: PlaceFlags::default(), output: Output::Table };
    let done = ls::run(&flags, &mut out).await;
    let advice = "say where blocks are: --objstore.dir, --objstore.config-file or --cluster.address";
    assert_eq!(text(out, done).1.as_deref(), Some(advice));
}
